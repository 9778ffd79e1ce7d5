"""The dev slice: triplets of dev, distractors of training, and measures that are the library's own."""

import shutil

import pyarrow.parquet as pq
import pytest

from components.dataset.manifest import DEV_CORPUS, TRAIN, Triplet
from components.model.base import open_model
from components.train.loop.dev_set import DevEvaluator, DevSlice, EncodeOnce, dev_slice
from components.train.report import DEV_ACCURACY, DEV_NDCG


class Counting:
    """A model that counts the texts that it encodes."""

    def __init__(self, model):
        self.model, self.texts = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def encode_query(self, texts, **options):
        self.texts += [("query", text) for text in texts]
        return self.model.encode_query(texts, **options)

    def encode_document(self, texts, **options):
        self.texts += [("document", text) for text in texts]
        return self.model.encode_document(texts, **options)


@pytest.fixture(scope="module")
def model(tiny_model):
    return open_model(tiny_model, device="cpu")


@pytest.mark.parametrize("texts", [0, 400, 10_000], ids=["least", "some", "all there are"])
def test_a_slice_holds_about_as_many_texts_as_may_be_encoded(dataset, texts):
    part = dev_slice(dataset, texts)
    assert 3 * len(part.triplets) + len(part.distractors) <= max(1000, texts)
    assert part.triplets


def test_dev_slice_searches_the_passages_that_prepare_drew_of_the_collection(dataset, tmp_path):
    passages = [row["text"] for row in pq.read_table(dataset / DEV_CORPUS).to_pylist()]
    part = dev_slice(dataset, 10_000)
    assert part.distractors == passages
    assert not {triplet.positive for triplet in part.triplets} & set(passages)


def test_dev_slice_of_an_earlier_releases_version_searches_training_passages(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "earlier")
    (copy / DEV_CORPUS).unlink()
    first = pq.read_table(copy / TRAIN).to_pylist()[0]
    assert dev_slice(copy, 10_000).distractors[:2] == [first["positive"], first["negative"]]


def test_dev_evaluator_counts_every_positive_of_a_query_as_relevant(model):
    texts = ["sort the array", "array sort", "a tree", "a graph", "find a path"]
    triplets = [Triplet("q", "sort the array", text, "a graph") for text in texts[:3]]
    found = DevEvaluator(DevSlice(triplets, texts[3:]))(model)
    alone = DevEvaluator(DevSlice(triplets[:1], texts[3:]))(model)
    assert alone[DEV_NDCG] == 1.0
    assert 0.5 < found[DEV_NDCG] <= 1.0


def test_every_text_is_encoded_once_for_both_measures(dataset, model):
    counting = Counting(model)
    measured = DevEvaluator(dev_slice(dataset, 0))(counting)
    assert len(counting.texts) == len(set(counting.texts))
    assert set(measured) == {DEV_ACCURACY, DEV_NDCG}
    assert all(0 <= value <= 1 for value in measured.values())


def test_the_measures_are_those_of_the_librarys_evaluators(dataset, model):
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator

    part = dev_slice(dataset, 0)
    accuracy = TripletEvaluator(
        [triplet.query for triplet in part.triplets],
        [triplet.positive for triplet in part.triplets],
        [triplet.negative for triplet in part.triplets],
        name="dev",
    )(model)
    assert DevEvaluator(part)(model)[DEV_ACCURACY] == pytest.approx(accuracy[DEV_ACCURACY])


def test_ndcg_is_trec_evals(dataset, model):
    import pytrec_eval

    part = dev_slice(dataset, 0)
    queries = {triplet.query_id: triplet.query for triplet in part.triplets}
    passages = list(dict.fromkeys([p for t in part.triplets for p in (t.positive, t.negative)] + part.distractors))
    rows = model.similarity(model.encode_query(list(queries.values())), model.encode_document(passages)).tolist()
    run = {query: {str(n): score for n, score in enumerate(row)} for query, row in zip(queries, rows, strict=True)}
    qrels = {triplet.query_id: {str(passages.index(triplet.positive)): 1} for triplet in part.triplets}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    mean = sum(row["ndcg_cut_10"] for row in expected.values()) / len(expected)
    assert DevEvaluator(part)(model)[DEV_NDCG] == pytest.approx(mean, abs=1e-3)


def test_more_passages_make_the_search_harder_and_never_easier(dataset, model):
    part = dev_slice(dataset, 400)
    alone = DevEvaluator(DevSlice(part.triplets, []))(model)
    assert DevEvaluator(part)(model)[DEV_NDCG] <= alone[DEV_NDCG]


def test_embeddings_are_given_in_the_form_that_was_asked_for(model):
    once = EncodeOnce(model)
    tensors = once.encode_document(["a graph", "a tree", "a graph"], convert_to_tensor=True)
    arrays = once.encode_document(["a tree"])
    assert tensors.shape == (3, 32)
    assert tensors[1].tolist() == arrays[0].tolist()

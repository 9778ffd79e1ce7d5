"""Evaluate scores what is served, exactly, and agrees with the field's own tools."""

import json
import re
import shutil
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.errors import DataError, ModelError
from components.evaluate.evaluate import evaluate
from components.export.model import choose_precision
from components.machine.digest import file_sha256
from components.model.served import ENCODER_CONFIG, GRAPH, WEIGHTS, EncoderConfig
from components.records.scores import ScoreFile
from tests.factories.evaluation_sets import CORPUS, QRELS, QUERIES, write_beir_folder, write_dataset_version

WORDS = "sort find path array matrix graph node edge value string number file train test query mean sum index row"


def random_set(seed: int) -> dict[str, dict]:
    rng = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(rng.choice(WORDS.split(), int(rng.integers(2, 12))))

    corpus = {f"p{place}": text() for place in range(120)}
    queries = {f"q{place}": text() for place in range(30)}
    qrels = {query: {str(name): 1 for name in rng.choice(list(corpus), 3, replace=False)} for query in queries}
    return {"corpus": corpus, "queries": queries, "qrels": qrels}


@pytest.fixture(scope="module")
def random_folder(beir_folder, tmp_path_factory) -> Path:
    return beir_folder(tmp_path_factory.mktemp("random") / "set", **random_set(1))


@pytest.fixture(scope="module")
def scores(exported_tiny_model, random_folder) -> ScoreFile:
    return evaluate(exported_tiny_model, random_folder)


def test_it_agrees_with_the_evaluator_of_sentence_transformers(scores, tiny_model) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    model = SentenceTransformer(str(tiny_model), device="cpu")
    model.max_seq_length = 32
    parts = random_set(1)
    relevant = {query: set(judged) for query, judged in parts["qrels"].items()}
    evaluator = InformationRetrievalEvaluator(parts["queries"], parts["corpus"], relevant, name="t", write_csv=False)
    theirs = evaluator(model)
    for ours, name in {
        "ndcg@10": "ndcg@10",
        "mrr@10": "mrr@10",
        "recall@10": "recall@10",
        "map@100": "map@100",
    }.items():
        assert scores.metrics[ours] == pytest.approx(theirs[f"t_cosine_{name}"], abs=0.002)


def test_the_score_file_says_what_was_measured(scores, exported_tiny_model, random_folder) -> None:
    assert scores.headline == scores.metrics["ndcg@10"]
    assert scores.headline == pytest.approx(np.mean(list(scores.per_query["ndcg@10"].values())))
    assert set(scores.per_query) == {"ndcg@10", "mrr@10", "recall@100", "map"}
    assert scores.model_digest == EncoderConfig.of(exported_tiny_model).digest
    assert scores.dataset_digest == open_evaluation_set(random_folder).digest
    assert scores.encoder["max_seq_length"] == 32 and scores.encoder["precision"] == choose_precision("auto")
    assert (scores.corpus_size, scores.evaluation_set, scores.depth) == (120, "set/test", 1000)
    assert scores.latency_ms > 0 and scores.texts_per_second > 0 and scores.model_bytes > 10_000
    assert all(len(names) == 10 for names in scores.top.values())
    assert scores.first_relevant.keys() == scores.top.keys()
    assert 0 < scores.baselines["bm25"]["ndcg@10"] < 1


def test_the_headline_stands_first_in_the_document_and_it_reads_back(scores, tmp_path) -> None:
    scores.write(tmp_path / "scores.json")
    assert next(iter(json.loads((tmp_path / "scores.json").read_text()))) == "ndcg@10"
    assert ScoreFile.read(tmp_path / "scores.json") == scores


def test_another_tool_gets_the_same_numbers_from_the_run_file(exported_tiny_model, random_folder, tmp_path) -> None:
    scores = evaluate(exported_tiny_model, random_folder, name="my model", run_file=tmp_path / "runs" / "model.run")
    lines = (tmp_path / "runs" / "model.run").read_text().splitlines()
    assert len(lines) == 30 * 120
    assert lines[0].split()[1::2] == ["Q0", "1", "my%20model"]
    run = list(ir_measures.read_trec_run(str(tmp_path / "runs" / "model.run")))
    qrels = random_set(1)["qrels"]
    theirs = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.AP], qrels, run)
    assert theirs[ir_measures.nDCG @ 10] == pytest.approx(scores.headline, abs=1e-6)
    assert theirs[ir_measures.AP] == pytest.approx(scores.metrics["map"], abs=1e-6)


def test_a_run_file_cannot_hold_an_id_with_a_space(exported_tiny_model, beir_folder, tmp_path) -> None:
    data = beir_folder(tmp_path / "set", corpus={**CORPUS, "p 7": "one more"})
    with pytest.raises(DataError, match="cannot hold the id 'p 7'"):
        evaluate(exported_tiny_model, data, run_file=tmp_path / "model.run")
    assert evaluate(exported_tiny_model, data).corpus_size == 7


class TestAQueryThatIsItselfAPassage:
    """In ArguAna every query is a passage of the corpus, and would find itself."""

    def scored(self, model: Path, folder: Path, make, judged: dict[str, int]) -> ScoreFile:
        corpus = {**CORPUS, "q1": QUERIES["q1"]}
        return evaluate(model, make(folder, corpus=corpus, qrels={**QRELS, "q1": judged}), bm25=False)

    def test_it_does_not_find_itself(self, exported_tiny_model, beir_folder, tmp_path) -> None:
        scores = self.scored(exported_tiny_model, tmp_path / "set", beir_folder, {"p1": 1})
        assert "q1" not in scores.top["q1"] and len(scores.top["q1"]) == 6
        assert "q1" in scores.top["q2"], "another query may find it"

    def test_it_does_where_the_judgements_call_it_relevant(self, exported_tiny_model, beir_folder, tmp_path) -> None:
        scores = self.scored(exported_tiny_model, tmp_path / "set", beir_folder, {"q1": 1})
        assert scores.top["q1"][0] == "q1" and scores.per_query["ndcg@10"]["q1"] == 1.0


def test_a_further_column_of_the_queries_is_a_slicing(exported_tiny_model, beir_folder, tmp_path) -> None:
    data = beir_folder(tmp_path / "set", columns={"language": {"q1": "en", "q2": "de", "q3": "en"}})
    assert evaluate(exported_tiny_model, data).slices["column language"] == {"de": ["q2"], "en": ["q1", "q3"]}


def test_a_model_that_gives_nan_is_an_error_and_not_a_score(exported_tiny_model, beir_folder, tmp_path) -> None:
    model = shutil.copytree(exported_tiny_model, tmp_path / "model")
    weights = model / WEIGHTS
    constants = re.findall(r'element_type="f(?:16|32)"[^>]* offset="(\d+)" size="(\d+)"', (model / GRAPH).read_text())
    size, offset = max((int(size), int(offset)) for offset, size in constants)
    content = bytearray(weights.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    weights.write_bytes(content)
    config = EncoderConfig.of(model)
    files = {**config.files, WEIGHTS: file_sha256(weights)}
    config.model_copy(update={"files": files}).write(model / ENCODER_CONFIG)
    with pytest.raises(ModelError, match="gives NaN or infinity for 3 of 3 texts, the first with id 'q1'"):
        evaluate(model, beir_folder(tmp_path / "set"))


def test_progress_covers_every_query_and_passage(exported_tiny_model, beir_folder, tmp_path) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def note(phase: str, done: int, total: int) -> None:
        seen[phase] = (done, total)

    evaluate(exported_tiny_model, beir_folder(tmp_path / "set"), progress=note)
    assert seen == {"encoding the queries": (3, 3), "encoding the corpus": (6, 6)}


def test_a_dataset_version_and_a_beir_folder_of_the_same_content_score_the_same(exported_tiny_model, tmp_path) -> None:
    version = evaluate(exported_tiny_model, write_dataset_version(tmp_path / "V0"))
    folder = evaluate(exported_tiny_model, write_beir_folder(tmp_path / "beir"))
    assert version.dataset_digest == folder.dataset_digest
    assert version.per_query == folder.per_query and version.top == folder.top


def test_data_that_is_not_there_is_named(exported_tiny_model, tmp_path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        evaluate(exported_tiny_model, tmp_path / "nowhere")


def test_a_model_that_is_not_there_is_named(random_folder, tmp_path) -> None:
    with pytest.raises(ModelError, match="nowhere is not an exported model"):
        evaluate(tmp_path / "nowhere", random_folder)

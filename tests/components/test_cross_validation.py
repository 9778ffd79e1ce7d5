"""Cross-validation through the stages: models for the folds beside the final one, and scores out of fold."""

import random
import re
import shutil

import pytest

from components.champion.champion import champion_model
from components.dataset.manifest import CORPUS, QRELS, QUERIES, TRAIN, DatasetManifest
from components.errors import ModelError, RankliftError
from components.evaluate.evaluate import evaluate
from components.export.options import ExportOptions
from components.export.stage import export_for_dataset
from components.gate.decide import decide
from components.model.folds import FoldModels
from components.model.served import EncoderConfig
from components.prepare.options import PrepareOptions
from components.prepare.stage import prepare
from components.promote.promote import promote
from components.records.decision import Decision
from components.records.scores import HEADLINE
from components.registry.files import inventory
from components.train.cross_validation import ENOUGH, held_out_queries, write_part
from components.train.curve import write_curve
from components.train.nodes.settings import VARIABLE
from components.train.options import TrainOptions
from components.train.report import REPORT, TrainingReport
from components.train.stage import train
from tests.components.prepare.conftest import table_of, write_beir
from tests.components.train.nodes.train_jobs import SETTINGS
from tests.factories.datasets import PASSAGE_WORDS, QUERY_WORDS
from tests.factories.models import make_tiny_cross_encoder

FOLDS = 5
QUICK = TrainOptions(recipe="little", learning_rate=2e-3, epochs=2, precision="fp32")


def write_collection(folder, queries=20, titles=0):
    """A collection that the tiny model can learn: three words of a query mean three of its passage."""
    chance, meaning = random.Random(4), dict(zip(QUERY_WORDS, PASSAGE_WORDS, strict=True))
    asked = dict.fromkeys(tuple(sorted(chance.sample(QUERY_WORDS, 3))) for _ in range(queries * 2))
    chosen = list(asked)[:queries]
    passages = {f"p{n}": {"text": f"{' '.join(meaning[word] for word in words)} {n}"} for n, words in enumerate(chosen)}
    passages |= {f"x{n}": {"text": f"{' '.join(chance.choices(PASSAGE_WORDS, k=3))} x{n}"} for n in range(40)}
    passages |= {f"t{n}": {"title": f"title {n * 7}", "text": f"body {n * 5} of text {n} " * 3} for n in range(titles)}
    texts = {f"q{n}": {"text": " ".join(words)} for n, words in enumerate(chosen)}
    qrels = {"test": [(f"q{n}", f"p{n}", 1) for n in range(queries)]}
    return write_beir(folder, passages=passages, queries=texts, qrels=qrels)


@pytest.fixture(scope="module")
def dataset(tiny_model, tmp_path_factory):
    """A dataset version in five folds."""
    directory = tmp_path_factory.mktemp("folds")
    source = str(write_collection(directory / "raw"))
    prepare(source, directory / "V0", PrepareOptions(base_model=str(tiny_model), folds=FOLDS))
    return directory / "V0"


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """The final model with those of the folds, and its report."""
    output = tmp_path_factory.mktemp("trained") / "model"
    return output, train(dataset, output, QUICK)


@pytest.fixture(scope="module")
def served(trained, dataset, tmp_path_factory):
    """All of them as they serve."""
    output = tmp_path_factory.mktemp("served") / "model"
    export_for_dataset(trained[0], dataset, output, ExportOptions(precision="fp32"))
    return output


@pytest.mark.parametrize("fold", range(FOLDS))
def test_write_part_leaves_out_the_queries_of_the_fold_and_nothing_else(dataset, tmp_path, fold):
    held_out = set(held_out_queries(dataset)[fold])
    rows = table_of(write_part(dataset, tmp_path / "fold", without=fold) / TRAIN)
    assert held_out
    assert rows == [row for row in table_of(dataset / TRAIN) if row["query_id"] not in held_out]
    assert DatasetManifest.of(tmp_path / "fold").counts["train"] == len(rows)


def test_write_part_with_few_labels_fills_them_up_with_titles(tiny_model, tmp_path):
    folder = write_collection(tmp_path / "raw", titles=300)
    prepare(str(folder), tmp_path / "V0", PrepareOptions(base_model=str(tiny_model), folds=FOLDS))
    rows = table_of(write_part(tmp_path / "V0", tmp_path / "part") / TRAIN)
    titles = [row for row in rows if row["query_id"].startswith("title:")]
    assert len(rows) == ENOUGH
    assert len(titles) == ENOUGH - 20
    assert all(row["positive"] != row["negative"] for row in titles)


def test_held_out_queries_is_each_query_once(dataset):
    found = [query for queries in held_out_queries(dataset) for query in queries]
    assert sorted(found) == sorted(f"q{n}" for n in range(20))


def test_train_writes_a_model_for_each_fold_and_the_final_one_from_everything(trained, dataset):
    output, report = trained
    record = FoldModels.find(output)
    assert record is not None
    assert record.held_out == held_out_queries(dataset)
    weights = {(folder / "model.safetensors").read_bytes() for folder in (output, *record.folders(output))}
    assert len(weights) == FOLDS + 1
    assert report.examples == 20
    assert {TrainingReport.read(folder / REPORT).examples for folder in record.folders(output)} == {16}


def test_train_without_dev_keeps_the_mean_of_the_last_weights_and_says_how_it_will_be_judged(trained, tmp_path):
    output, report = trained
    assert (report.dev, report.dev_before, report.best_step) == ({}, {}, 0)
    assert report.averaging == 0.5
    assert TrainingReport.read(output / REPORT) == report
    assert "dev_ndcg@10" not in report.headline()
    write_curve(report, tmp_path / "curve.html")
    assert "cross-validation in 5 folds" in (tmp_path / "curve.html").read_text()


def test_train_with_a_teacher_scores_the_pairs_of_all_folds_once(dataset, tmp_path, capsys):
    teacher = make_tiny_cross_encoder(tmp_path / "teacher")
    report = train(dataset, tmp_path / "model", QUICK.model_copy(update={"teacher": str(teacher)}))
    scored = re.findall(r"teacher: ([\d,]+) of \1 pairs", capsys.readouterr().err)
    pairs = {(row["query"], row[name]) for row in table_of(dataset / TRAIN) for name in ("positive", "negative")}
    assert sum(map(int, scored)) == len(pairs), "the final model's training finds the scores that the folds left"
    assert report.teacher == str(teacher)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "teacher"]


def test_train_on_several_nodes_is_refused_before_anything_is_trained(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, SETTINGS.model_dump_json())
    with pytest.raises(RankliftError, match="leave out --num-nodes"):
        train(dataset, tmp_path / "model", QUICK.model_copy(update={"num_nodes": 2}))
    assert not (tmp_path / "model").exists()


def test_train_never_opens_the_evaluation_set(dataset, tmp_path):
    names = {CORPUS, QUERIES, QRELS}
    copy = shutil.copytree(dataset, tmp_path / "V0", ignore=lambda _, found: names & set(found))
    assert held_out_queries(copy) == held_out_queries(dataset)
    assert (write_part(copy, tmp_path / "part", without=0) / TRAIN).is_file()


def test_evaluate_scores_each_query_with_the_model_that_has_not_seen_it(served, dataset):
    scores = evaluate(served, dataset, bm25=False)
    record = FoldModels.find(served)
    assert record is not None
    assert scores.folds == record.fold_of_query()
    assert scores.model_digest == EncoderConfig.of(served).digest
    for folder, queries in zip(record.folders(served), record.held_out, strict=True):
        alone = evaluate(folder, dataset, bm25=False)
        assert alone.folds == {}
        for metric, values in alone.per_query.items():
            assert {query: values[query] for query in queries} == {
                query: scores.per_query[metric][query] for query in queries
            }


def test_decide_takes_the_scores_of_a_cross_validation_against_the_base_models(
    served, dataset, exported_tiny_model, tmp_path
):
    candidate = evaluate(served, dataset, bm25=False)
    champion = evaluate(exported_tiny_model, dataset, bm25=False)
    decision = decide(candidate, champion)
    assert decision.folds == FOLDS
    assert decision.candidate == candidate.headline
    assert decision.queries == len(champion.per_query[HEADLINE]) == 20


def test_inventory_of_a_cross_validated_model_has_its_record_and_none_of_the_fold_models(served):
    files = inventory(served)
    assert "folds.json" in files
    assert not any(".folds" in name for name in files)


def test_evaluate_what_was_trained_on_the_queries_says_so(served, dataset, tmp_path):
    version = shutil.copytree(served, tmp_path / "V0", ignore=shutil.ignore_patterns(".folds"))
    scores = evaluate(version, dataset, name="V0", bm25=False)
    assert scores.folds == {}
    assert any("V0 was trained on 20 of the 20 queries that it is scored on" in note for note in scores.notes)


def test_evaluate_a_champion_on_its_own_queries_takes_what_it_scored_out_of_fold(served, dataset, registry, tmp_path):
    candidate = evaluate(served, dataset, name="candidate", bm25=False)
    worse = candidate.model_copy(update={"folds": {}, "model_digest": "0" * 64, "headline": 0.0, "model": "the base"})
    worse.per_query = {metric: dict.fromkeys(values, 0.0) for metric, values in candidate.per_query.items()}
    decision = decide(candidate, worse).model_copy(
        update={"verdict": "promote"}
    )  # five folds of a tiny model say little
    promote(served, decision, registry)
    assert champion_model(registry, dataset, tmp_path / "champion").name == "V0"
    champion = evaluate(tmp_path / "champion", dataset, name="V0", bm25=False)
    assert champion.per_query == candidate.per_query
    assert champion.headline == candidate.headline
    assert any("its scores are those of its cross-validation" in note for note in champion.notes)
    assert decide(candidate, champion).delta == 0


def test_line_of_a_decision_leaves_out_the_scores_by_query_and_is_read_again(served, dataset):
    candidate = evaluate(served, dataset, bm25=False)
    decision = decide(candidate, candidate)
    assert decision.out_of_fold == candidate.per_query
    assert Decision.find(decision.line()) == decision.model_copy(update={"out_of_fold": {}})


def test_evaluate_on_another_set_takes_the_final_model(served, tmp_path):
    other = write_collection(tmp_path / "other", queries=12)
    scores = evaluate(served, other, bm25=False)
    assert scores.folds == {}
    assert any("was trained on 12 of the 12 queries" in note for note in scores.notes)


def test_evaluate_with_a_fold_model_missing_is_refused(served, dataset, tmp_path):
    damaged = shutil.copytree(served, tmp_path / "served")
    shutil.rmtree(damaged / ".folds" / "3")
    with pytest.raises(ModelError, match="4 of 5 models"):
        evaluate(damaged, dataset, bm25=False)


def test_evaluate_with_a_query_in_no_fold_is_refused(served, dataset, tmp_path):
    damaged = shutil.copytree(served, tmp_path / "served")
    record = FoldModels.find(damaged)
    record.held_out[2] = record.held_out[2][1:]
    record.write_beside(damaged)
    with pytest.raises(ModelError, match="no fold for 1 of 20 queries"):
        evaluate(damaged, dataset, bm25=False)

"""Training: learns what there is to learn, keeps the best checkpoint, and says what it cannot do."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from components.dataset.manifest import CORPUS, QRELS, QUERIES, DatasetManifest
from components.errors import DataError, RankliftError
from components.train.curve import write_curve
from components.train.examples.tokens import TokenisedExamples
from components.train.loop.fit import train_model
from components.train.options import TrainOptions
from components.train.recipes import RECIPES
from components.train.report import DEV_ACCURACY, DEV_NDCG, TrainingReport
from pipeline.cli import app
from tests.components.train.conftest import QUICK


def test_dev_accuracy_rises_and_the_report_tells_every_step(trained):
    _, report = trained
    assert report.dev[DEV_ACCURACY] > report.dev_before[DEV_ACCURACY]
    assert report.best_step > 0
    assert report.precision == "fp32"
    assert {"loss", f"eval_{DEV_ACCURACY}", f"eval_{DEV_NDCG}"} <= {name for entry in report.history for name in entry}


def test_the_model_opens_at_the_datasets_length_with_its_report_beside_it(trained, dataset):
    from sentence_transformers import SentenceTransformer

    output, report = trained
    assert SentenceTransformer(str(output), device="cpu").max_seq_length == DatasetManifest.of(dataset).max_seq_length
    assert TrainingReport.read(output / "training.json") == report


def test_the_same_seed_gives_the_same_weights(trained, dataset, tmp_path):
    output, _ = trained
    train_model(dataset, tmp_path / "again", QUICK)
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (output / weights).read_bytes()


def test_as_a_command_it_prints_one_json_document_and_nothing_else(dataset, tmp_path):
    command = ["train", str(dataset), "-o", str(tmp_path / "model"), "--epochs", "0.2", "--batch-size", "16", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert TrainingReport.model_validate(json.loads(result.stdout)).steps > 0
    assert (tmp_path / "model" / "training.html").is_file()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_evaluation_files_are_never_opened(dataset, tmp_path, recipe):
    copy = tmp_path / "dataset"
    copy.mkdir()
    for file in dataset.iterdir():
        if file.name not in {CORPUS, QUERIES, QRELS}:
            (copy / file.name).write_bytes(file.read_bytes())
    report = train_model(copy, tmp_path / "model", QUICK.model_copy(update={"epochs": 0.2, "recipe": recipe}))
    assert report.steps > 0


def test_progress_goes_to_json_lines_and_to_tensorboard(dataset, tmp_path):
    options = ["--epochs", "0.2", "--batch-size", "16", "--log", str(tmp_path / "log.jsonl")]
    options += ["--tensorboard", str(tmp_path / "board")]
    result = CliRunner().invoke(app, ["train", str(dataset), "-o", str(tmp_path / "model"), *options])
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"time", "step", "steps", "epoch"} <= lines[0].keys()
    assert any("dev_ndcg@10" in line for line in lines)
    assert lines[-1]["step"] == lines[-1]["steps"]
    assert any({"loss", "examples_per_second", "seconds_left"} <= line.keys() for line in lines)
    assert list((tmp_path / "board").glob("events.*"))


def test_mined_mines_averages_and_says_so(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    options = TrainOptions(recipe="mined", epochs=2, batch_size=16, learning_rate=2e-3, precision="fp32")
    report = train_model(dataset, tmp_path / "model", options)
    assert report.recipe == "mined"
    assert report.averaging in {0.7, 1.0}
    assert report.dev[DEV_NDCG] >= report.dev_before[DEV_NDCG]
    assert report.examples == report.triplets == DatasetManifest.of(dataset).counts["train"]
    kept = list((tmp_path / "cache" / "examples").iterdir())
    again = train_model(dataset, tmp_path / "again", options.model_copy(update={"learning_rate": 1e-3}))
    assert list((tmp_path / "cache" / "examples").iterdir()) == kept, "the same examples are mined once"
    assert again.examples == report.examples


def test_token_ids_that_a_disk_lost_are_made_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    train_model(dataset, tmp_path / "model", QUICK)
    (tokens,) = (tmp_path / "cache" / "examples").glob("*/tokens.bin")
    whole = tokens.read_bytes()
    tokens.write_bytes(whole[: len(whole) // 2])
    train_model(dataset, tmp_path / "again", QUICK)
    assert tokens.read_bytes() == whole


def test_the_first_layers_of_strong_keep_their_weights(dataset, tiny_model, tmp_path):
    from safetensors.torch import load_file

    options = TrainOptions(recipe="strong", epochs=1, batch_size=16, learning_rate=2e-3, precision="fp32")
    report = train_model(dataset, tmp_path / "model", options)
    base, tuned = load_file(tiny_model / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors")
    changed = {name for name, weights in base.items() if not torch.equal(weights, tuned[name])}
    assert changed
    assert not [name for name in changed if name.startswith(("embeddings", "encoder.layer.0"))]
    assert report.options.batch_size == 16


class TestWhatTrainingReadsOfAText:
    @pytest.fixture
    def short(self, monkeypatch, tmp_path):
        """A recipe that reads five tokens, where the dataset has eight."""
        recipe = RECIPES["strong"]._replace(name="short", length=5)
        monkeypatch.setattr("components.train.recipes.RECIPES", {**RECIPES, "short": recipe})
        monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
        return QUICK.model_copy(update={"recipe": "short", "epochs": 0.2})

    def test_it_reads_their_beginnings_and_the_model_serves_its_own_length(self, dataset, tmp_path, short, monkeypatch):
        from sentence_transformers import SentenceTransformer

        from components.train.loop.dev_set import DevEvaluator

        measure, seen = DevEvaluator.__call__, set()

        def measured(evaluator, model, *arguments, **options):
            seen.add(model.max_seq_length)
            return measure(evaluator, model, *arguments, **options)

        monkeypatch.setattr(DevEvaluator, "__call__", measured)
        report = train_model(dataset, tmp_path / "model", short)
        (examples,) = (tmp_path / "cache" / "examples").iterdir()
        assert max(len(ids) for row in TokenisedExamples(examples) for ids in row.values()) == 5
        assert seen == {5}, "dev as well"
        whole = DatasetManifest.of(dataset).max_seq_length
        assert (report.training_length, report.max_seq_length) == (5, whole)
        assert SentenceTransformer(str(tmp_path / "model"), device="cpu").max_seq_length == whole > 5

    @pytest.mark.parametrize(
        ("of_the_recipe", "of_the_model", "read"),
        [
            pytest.param(64, 256, 64, id="the recipe's"),
            pytest.param(64, 32, 32, id="the model's, when it is less"),
            pytest.param(0, 256, 256, id="the model's, when the recipe says nothing"),
        ],
    )
    def test_it_is_the_recipes_length_and_at_most_the_models(self, of_the_recipe, of_the_model, read):
        assert RECIPES["strong"]._replace(length=of_the_recipe).length_for(of_the_model) == read

    def test_examples_of_another_length_are_others(self, dataset, tmp_path, short):
        for length in (3, 4, 8):
            output = tmp_path / f"model-{length}"
            train_model(dataset, output, short.model_copy(update={"max_seq_length": length}))
        assert len(list((tmp_path / "cache" / "examples").iterdir())) == 3


def test_the_curve_is_one_page_without_network(trained, tmp_path):
    _, report = trained
    write_curve(report, tmp_path / "curve.html")
    page = (tmp_path / "curve.html").read_text()
    assert "<svg" in page
    assert "src=" not in page


def test_train_model_with_a_batch_larger_than_the_data_takes_all_of_it_and_says_so(dataset, tmp_path, capsys):
    report = train_model(dataset, tmp_path / "model", QUICK.model_copy(update={"batch_size": 4000, "epochs": 1}))
    assert report.options.batch_size == report.examples
    told = capsys.readouterr().err
    assert f"the data is little: batches of {report.examples} in place of 4000\n" in told
    assert "epochs in place of" not in told


def with_positives(dataset, copy, count):
    """A copy of a dataset version with so many different positives."""
    shutil.copytree(dataset, copy)
    rows = pq.read_table(copy / "train.parquet").to_pylist()
    same = [row | {"positive": f"answer {number % count}"} for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(same), copy / "train.parquet")


def test_batches_that_cannot_be_filled_are_told_and_do_not_count(dataset, tmp_path, capsys):
    with_positives(dataset, tmp_path / "dataset", 4)
    report = train_model(tmp_path / "dataset", tmp_path / "model", QUICK)
    seen = report.triplets_per_second * report.seconds
    assert 3 * report.steps < seen < 4.1 * report.steps, "four in a batch of sixteen"
    assert re.search(r"train: batches had \d+ examples where \d+ have room, since no text", capsys.readouterr().err)


def test_a_model_that_was_harmed_is_told(dataset, trained, tmp_path, capsys):
    base = str(trained[0])  # it knows the data: only a rate that is far too high makes it worse
    harmful = QUICK.model_copy(update={"base_model": base, "learning_rate": 1.0, "epochs": 0.25})
    report = train_model(dataset, tmp_path / "model", harmful)
    assert report.dev["dev_cosine_ndcg@10"] < report.dev_before["dev_cosine_ndcg@10"]
    assert "the model that was kept is worse than the base model; lower --learning-rate" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_is_an_error_that_says_what_to_lower(dataset, tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.LayerNorm.weight"] *= float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RankliftError, match=r"The loss became nan at step \d+; lower --learning-rate"):
        train_model(dataset, tmp_path / "model", QUICK.model_copy(update={"base_model": str(broken)}))
    assert not (tmp_path / "model").exists()


def test_bf16_trains_on_any_processor(dataset, tmp_path):
    options = QUICK.model_copy(update={"epochs": 0.2, "precision": "bf16"})
    assert train_model(dataset, tmp_path / "model", options).precision == "bf16"


def test_texts_that_return_in_every_example_are_an_error_and_no_model(dataset, tmp_path):
    copy = tmp_path / "dataset"
    with_positives(dataset, copy, 1)
    with pytest.raises(DataError, match="No batch of 16 examples without a text twice can be formed"):
        train_model(copy, tmp_path / "model", QUICK)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("batch_size", [16, 64])
def test_a_part_of_an_epoch_is_that_of_the_batch_size(dataset, tmp_path, monkeypatch, batch_size):
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    for size in (80 - batch_size, batch_size):
        options = QUICK.model_copy(update={"epochs": 0.01, "batch_size": size})
        report = train_model(dataset, tmp_path / f"model-{size}", options)
        assert report.examples == report.triplets == size


@pytest.mark.parametrize("normalize", [True, False], ids=["unit vectors", "vectors of any length"])
def test_train_model_that_compares_by_dot_product_learns_and_keeps_comparing_so(dataset, tmp_path, normalize):
    from sentence_transformers import SentenceTransformer

    from tests.factories.models import make_tiny_model

    base = make_tiny_model(tmp_path / "dot", normalize=normalize, similarity_fn_name="dot")
    report = train_model(dataset, tmp_path / "model", QUICK.model_copy(update={"base_model": str(base)}))
    assert report.dev[DEV_ACCURACY] > report.dev_before[DEV_ACCURACY]
    assert SentenceTransformer(str(tmp_path / "model"), device="cpu").similarity_fn_name == "dot"

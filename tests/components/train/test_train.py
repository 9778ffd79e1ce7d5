"""Training: learns what there is to learn, keeps the best checkpoint, and says what it cannot do."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from components.dataset import CORPUS, QRELS, QUERIES, DatasetManifest
from components.errors import DataError, ModelError, RankliftError
from components.train.curve import write_curve
from components.train.report import DEV_ACCURACY, DEV_NDCG, TrainingReport
from components.train.train import train_model
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


def test_the_evaluation_files_are_never_opened(dataset, tmp_path):
    copy = tmp_path / "dataset"
    copy.mkdir()
    for file in dataset.iterdir():
        if file.name not in {CORPUS, QUERIES, QRELS}:
            (copy / file.name).write_bytes(file.read_bytes())
    report = train_model(copy, tmp_path / "model", QUICK.model_copy(update={"epochs": 0.2}))
    assert report.steps > 0


def test_the_curve_is_one_page_without_network(trained, tmp_path):
    _, report = trained
    write_curve(report, tmp_path / "curve.html")
    page = (tmp_path / "curve.html").read_text()
    assert "<svg" in page
    assert "src=" not in page


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        pytest.param({"batch_size": 4000}, DataError, "fewer than one batch of 4000", id="batch larger than the data"),
        pytest.param({"max_seq_length": 999}, ModelError, "999 is more than the 64 positions", id="too long"),
        pytest.param({"base_model": "/nowhere"}, ModelError, "no base model at '/nowhere'", id="no base model"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_and_leaves_nothing(dataset, tmp_path, change, error, sentence):
    with pytest.raises(error, match=sentence):
        train_model(dataset, tmp_path / "model", QUICK.model_copy(update=change))
    assert list(tmp_path.iterdir()) == []


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


def test_an_output_folder_in_use_is_left_alone(dataset, tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not empty"):
        train_model(dataset, tmp_path, QUICK)
    assert (tmp_path / "precious").read_text() == "mine"

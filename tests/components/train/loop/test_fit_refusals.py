"""Training: what cannot be trained is refused before the first step, in one sentence."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.dataset.manifest import DatasetManifest
from components.errors import DataError, ModelError, RankliftError
from components.train.loop.fit import train_model
from components.train.options import TrainOptions
from tests.components.train.conftest import QUICK


def test_a_recipe_that_there_is_not_is_refused_by_name(dataset, tmp_path):
    with pytest.raises(RankliftError, match=r"no recipe 'weak'; the recipes are seed, strong"):
        train_model(dataset, tmp_path / "model", TrainOptions(recipe="weak"))


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        pytest.param({"max_seq_length": 999}, ModelError, "999 is more than the 64 positions", id="too long"),
        pytest.param({"max_seq_length": 2}, ModelError, "2 is too short for a text beside 2 special", id="too short"),
        pytest.param({"base_model": "/nowhere"}, ModelError, "no base model at '/nowhere'", id="no base model"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_and_leaves_nothing(dataset, tmp_path, change, error, sentence):
    with pytest.raises(error, match=sentence):
        train_model(dataset, tmp_path / "model", QUICK.model_copy(update=change))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        pytest.param(lambda file: file.unlink(), r"cannot be read \(.*No such file", id="missing"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-100]), "cannot be read .*; get", id="cut"),
        pytest.param(
            lambda file: pq.write_table(pq.read_table(file)[:5], file),
            r"has 5 (triplets|passages) where .* tells of",
            id="fewer",
        ),
    ],
)
@pytest.mark.parametrize("name", ["train.parquet", "dev.parquet", "dev_corpus.parquet"])
def test_files_that_are_not_the_manifests_are_refused(dataset, tmp_path, name, damage, sentence):
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    damage(copy / name)
    with pytest.raises(DataError, match=f"{name} {sentence}"):
        train_model(copy, tmp_path / "model", QUICK)
    assert not (tmp_path / "model").exists()


def test_without_dev_triplets_nothing_is_trained(dataset, tmp_path):
    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    pq.write_table(pq.read_table(copy / "dev.parquet")[:0], copy / "dev.parquet")
    manifest = DatasetManifest.of(copy)
    manifest.model_copy(update={"counts": manifest.counts | {"dev": 0}}).write(copy / "manifest.json")
    with pytest.raises(
        DataError, match=r"dev\.parquet is empty, and the best checkpoint is chosen on it; prepare with"
    ):
        train_model(copy, tmp_path / "model", QUICK)


@pytest.mark.parametrize("place", ["output", "log", "tensorboard"])
def test_what_cannot_be_written_is_told_before_training(dataset, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    places = {"output": tmp_path / "model", "log": None, "tensorboard": None} | {place: tmp_path / "file" / "x"}
    with pytest.raises(RankliftError, match=r"file(/x)? cannot be written \(.*\); (choose|name) a"):
        train_model(dataset, places.pop("output"), QUICK, **places)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take_is_refused(seed):
    with pytest.raises(ValidationError, match="seed"):
        TrainOptions(seed=seed)


def test_a_base_model_without_pooling_is_refused_before_the_first_step(dataset, tiny_model, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    modules = json.loads((bare / "modules.json").read_text())
    (bare / "modules.json").write_text(json.dumps(modules[:1]))
    with pytest.raises(ModelError, match=r"is a model of the modules Transformer; .* a transformer, one pooling"):
        train_model(dataset, tmp_path / "model", QUICK.model_copy(update={"base_model": str(bare)}))


def test_an_output_folder_in_use_is_left_alone(dataset, tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not an empty folder"):
        train_model(dataset, tmp_path, QUICK)
    assert (tmp_path / "precious").read_text() == "mine"

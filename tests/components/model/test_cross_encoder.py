"""What can teach is a cross-encoder with one score; anything else is named before it is opened."""

import json
import shutil

import pytest
from sentence_transformers import CrossEncoder

from components.errors import ModelError
from components.model.cross_encoder import open_cross_encoder, teacher_directory
from tests.factories.models import make_tiny_cross_encoder


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    return make_tiny_cross_encoder(tmp_path_factory.mktemp("teacher") / "model")


def test_teacher_directory_of_a_cross_encoder_as_the_hub_has_it_is_its_folder(cross_encoder):
    assert teacher_directory(str(cross_encoder)) == cross_encoder


def test_teacher_directory_of_one_that_the_library_saved_is_its_folder(cross_encoder, tmp_path):
    CrossEncoder(str(cross_encoder), device="cpu").save_pretrained(str(tmp_path / "saved"))
    assert teacher_directory(str(tmp_path / "saved")) == tmp_path / "saved"


def test_teacher_directory_of_a_base_model_says_what_it_is(tiny_model):
    with pytest.raises(ModelError, match=rf"^The teacher {tiny_model} is an encoder, which embeds .*: use one, such"):
        teacher_directory(str(tiny_model))


@pytest.mark.parametrize("labels", [2, 3])
def test_teacher_directory_of_a_classifier_tells_its_labels(tmp_path, labels):
    folder = make_tiny_cross_encoder(tmp_path / "classifier", labels=labels)
    with pytest.raises(ModelError, match=f"is a classifier of {labels} labels; a teacher is a cross-encoder that"):
        teacher_directory(str(folder))


def test_teacher_directory_of_a_plain_transformer_says_so(tiny_model):
    plain = tiny_model.parent / "transformer"
    with pytest.raises(ModelError, match="transformer is a plain transformer without"):
        teacher_directory(str(plain))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param("/nowhere", "There is no teacher at '/nowhere'; give the folder of a cross-encoder", id="path"),
        pytest.param("no-package", "Teacher 'no-package' is not a folder here", id="hub"),
    ],
)
def test_teacher_directory_of_a_name_that_leads_nowhere_is_one_sentence(hub, name, sentence):
    with pytest.raises(ModelError, match=sentence):
        teacher_directory(name)


def test_open_cross_encoder_of_damaged_weights_is_one_sentence(cross_encoder, tmp_path):
    damaged = shutil.copytree(cross_encoder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match=r"^The teacher .*damaged cannot be opened \(.*\); give a cross-encoder that"):
        open_cross_encoder(damaged, "cpu")


def test_open_cross_encoder_runs_no_code_of_the_folder(cross_encoder, tmp_path):
    hostile = shutil.copytree(cross_encoder, tmp_path / "hostile")
    (hostile / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    config = json.loads((hostile / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoModelForSequenceClassification": "evil.Evil"}}
    (hostile / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="cannot be opened"):
        open_cross_encoder(hostile, "cpu")
    assert not (tmp_path / "ran").exists()

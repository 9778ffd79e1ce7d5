"""Base models that cannot be compared are named before anything slow begins."""

import shutil

import pytest

from components.errors import ModelError
from components.source.candidates import check_candidates, check_names

NAMES = {
    "none": ([], "There is no base model to choose from"),
    "empty": (["a/b", ""], "'' is no name of a base model"),
    "a number": (["a/b", 3], "3 is no name of a base model"),
    "auto": (["a/b", "auto"], "'auto' is no base model to compare"),
    "twice": (["a/b", "c/d", "a/b"], "The base model a/b is named twice"),
}


@pytest.mark.parametrize(("names", "complaint"), NAMES.values(), ids=NAMES)
def test_check_names_that_cannot_be_compared_is_an_error(names, complaint):
    with pytest.raises(ModelError, match=complaint):
        check_names(names)


def test_check_candidates_of_one_folder_by_two_names_is_an_error(tiny_model, tmp_path):
    (tmp_path / "link").symlink_to(tiny_model)
    with pytest.raises(ModelError, match="are the same base model; name it once"):
        check_candidates([str(tiny_model), str(tmp_path / "link")])


def test_check_candidates_with_a_cross_encoder_says_so(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    with pytest.raises(ModelError, match="is a cross-encoder, which scores pairs"):
        check_candidates([str(tiny_model), str(folder)])

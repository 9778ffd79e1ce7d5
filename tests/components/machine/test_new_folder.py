"""The place of a folder that a stage makes."""

import pytest

from components.machine.new_folder import is_free, move_whole


def nothing(place):
    assert not place.exists()


def empty_folder(place):
    place.mkdir()


def used_folder(place):
    place.mkdir()
    (place / "a file").touch()


def file(place):
    place.touch()


@pytest.mark.parametrize(
    ("make", "free"), [(nothing, True), (empty_folder, True), (used_folder, False), (file, False)],
    ids=["nothing", "an empty folder", "a used folder", "a file"],
)  # fmt: skip
def test_is_free_of_a_place_says_whether_a_folder_can_be_made_there(tmp_path, make, free):
    make(tmp_path / "place")
    assert is_free(tmp_path / "place") == free


@pytest.mark.parametrize("make", [nothing, empty_folder], ids=["nothing", "an empty folder"])
def test_move_whole_to_a_free_place_brings_every_file(tmp_path, make):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a file").write_text("content")
    make(tmp_path / "place")
    move_whole(tmp_path / "made", tmp_path / "place")
    assert (tmp_path / "place" / "a file").read_text() == "content"
    assert not (tmp_path / "made").exists()

"""A cache keeps what was used last, and never removes the newest or what is none of its entries."""

import os

import pytest

from components.machine.cache import make_room, mark_used


@pytest.fixture
def cache(tmp_path):
    """Three entries of 100 bytes, older from the first to the last, and a file of somebody's."""
    for age, name in enumerate(("entry-new", "entry-middle", "entry-old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data").write_bytes(b"x" * 1000)
    return tmp_path


def room(cache, newest, limit):
    make_room(cache / newest, lambda path: path.name.startswith("entry-"), limit)
    return {path.name for path in cache.iterdir()} - {"other"}


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (300, {"entry-new", "entry-middle", "entry-old"}),
        (299, {"entry-new", "entry-middle"}),
        (1, {"entry-new"}),
    ],
    ids=["all fit", "the oldest leaves", "the newest stays"],
)
def test_what_was_used_longest_ago_leaves(cache, limit, left):
    assert room(cache, "entry-new", limit) == left
    assert (cache / "other" / "data").is_file()


def test_use_makes_it_young(cache):
    mark_used(cache / "entry-old")
    assert room(cache, "entry-new", 200) == {"entry-new", "entry-old"}

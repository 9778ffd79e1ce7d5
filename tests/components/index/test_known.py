"""What the previous index has of a text is found by the text's hash, wherever it lies."""

import hashlib

import numpy as np
import pytest

from components.index import known
from components.index.known import KnownTexts
from components.search.shard import HASH_BYTES


def digests_of(*texts):
    return [hashlib.sha256(text.encode()).digest() for text in texts]


def hashes_of(*digests):
    return np.frombuffer(b"".join(digest[:HASH_BYTES] for digest in digests), np.uint8).reshape(-1, HASH_BYTES)


@pytest.mark.parametrize("rows", [2, 5, 1000], ids=["a table a block", "several tables", "one table"])
def test_known_texts_finds_the_first_position_of_each_text(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(known, "_ROWS", rows)
    texts = [f"text {number % 9}" for number in range(20)]
    blocks = [hashes_of(*digests_of(*texts[start : start + 2])) for start in range(0, 20, 2)]
    found = KnownTexts(blocks, tmp_path).positions(digests_of("text 8", "new", "text 0", "text 3", "text 3"))
    assert found.tolist() == [8, -1, 0, 3, 3]


def test_known_texts_without_a_previous_index_knows_none(tmp_path):
    assert KnownTexts([], tmp_path).positions(digests_of("a", "b")).tolist() == [-1, -1]


def test_known_texts_of_an_empty_batch_are_none(tmp_path):
    assert KnownTexts([hashes_of(*digests_of("a"))], tmp_path).positions([]).tolist() == []


def test_known_texts_whose_hashes_begin_alike_are_not_taken_for_each_other(tmp_path):
    one, other = b"\xff" * 8 + b"a" * 24, b"\xff" * 8 + b"b" * 24
    known_texts = KnownTexts([hashes_of(one)], tmp_path)
    assert known_texts.positions([other, one]).tolist() == [-1, 0]

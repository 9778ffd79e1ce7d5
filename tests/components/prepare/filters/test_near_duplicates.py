"""Near duplicates are found also where thousands of texts share a pattern."""

import random
import string

import pyarrow as pa
import pytest

from components.prepare.database import scratch_database
from components.prepare.filters.near_duplicates import define_words, find_alike

PATTERN = "where can one buy the cheapest ticket travelling from"  # nine words
PLANTED = 200


@pytest.fixture
def texts():
    """Texts of one pattern with three words of their own, and for some of them a copy with one word more."""
    chance = random.Random(1)
    places = ["".join(chance.choices(string.ascii_lowercase, k=6)) for _ in range(5000)]
    own = [" ".join([PATTERN, *chance.sample(places, 3)]) for _ in range(20_000)]
    pairs = [(text, f"{text} {chance.choice(places)}") for text in own[:PLANTED]]
    return [*own, *(copy for _, copy in pairs)], pairs


def clusters(texts, folder):
    with scratch_database("500MB", folder) as database:
        define_words(database)
        database.register("given", pa.table({"text": texts}))
        database.execute("CREATE TABLE texts AS SELECT DISTINCT hash(text) AS h, text FROM given")
        find_alike(database, "SELECT h, text FROM texts", "alike", threshold=0.8)
        return dict(database.execute("SELECT text, cluster FROM alike JOIN texts USING (h)").fetchall())


def test_copies_with_a_word_more_are_found_among_texts_of_one_pattern(texts, tmp_path):
    everything, pairs = texts
    found = clusters(everything, tmp_path)
    together = [text in found and found[text] == found.get(copy) for text, copy in pairs]
    # MinHash is a draw: a pair with 12 of 13 words in common shares no band once in ten thousand times.
    assert sum(together) >= 0.98 * PLANTED


def test_texts_of_one_pattern_are_not_duplicates_of_each_other(texts, tmp_path):
    everything, _ = texts
    # Nine words of fifteen in common are fewer than four of five.
    assert len(clusters(everything[:2000], tmp_path)) < 20

import re

import numpy as np
import pytest

from components.dataset.manifest import PROFILE, Triplet
from components.errors import DataError
from components.prepare.profile.data import common_words, histogram, overlaps
from components.prepare.profile.false_negatives import find_false_negatives
from components.prepare.stage import prepare
from tests.components.prepare.conftest import rows_of, table_of, write_rows


@pytest.fixture(scope="module")
def profile(tmp_path_factory, base_model):
    from components.prepare.options import PrepareOptions

    folder = tmp_path_factory.mktemp("profile")
    rows = rows_of(80)
    rows[3]["negative"] = ""
    rows[4]["positive"] += " <script>alert(1)</script> & more"
    source = write_rows(folder / "raw.csv", rows)
    prepare(str(source), folder / "V0", PrepareOptions(base_model=base_model, evaluation_queries=8, dev_queries=4))
    return (folder / "V0" / PROFILE).read_text()


def test_the_profile_is_one_static_file(profile):
    assert "<script" not in profile
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", profile)
    assert profile.count("<svg") == 4


@pytest.mark.parametrize(
    "part",
    ["max_seq_length", "99%", "What was dropped", "is empty", "share", "relevance of a judgement", "Triplets to read"],
)
def test_the_profile_shows_what_people_look_for(profile, part):
    assert part in profile


def test_overlap_is_the_share_of_the_querys_words():
    found = overlaps([Triplet("1", "Red green blue", "a RED, green thing", "nothing"), Triplet("2", "?!", "a", "b")])
    assert found == {"positive": [2 / 3], "negative": [0.0]}


def test_equally_frequent_words_have_one_order():
    assert common_words(["zebra monkey", "monkey apple", "tiny ant"], 3) == [("monkey", 2), ("apple", 1), ("tiny", 1)]


def test_a_histogram_counts_every_value():
    edges, counts = histogram([1, 2, 3, 1000])
    assert sum(counts) == 4
    assert len(edges) == len(counts) + 1
    assert histogram([])[1] == [0]


def test_negatives_that_the_model_prefers_are_counted_and_the_worst_shown():
    directions = {"q": [1.0, 0.0], "good": [1.0, 0.0], "fair": [0.8, 0.6], "bad": [0.0, 1.0]}

    def encode(texts):
        return np.array([directions[text] for text in texts], dtype=np.float32)

    triplets = [Triplet("1", "q", "good", "bad"), Triplet("2", "q", "bad", "good"), Triplet("3", "q", "bad", "fair")]
    found = find_false_negatives(triplets, encode, encode)

    assert (found.triplets, found.above, found.above_by_margin) == (3, 2, 2)
    assert [(row["query_id"], row["negative_similarity"]) for row in found.worst] == [("2", 1.0), ("3", 0.8)]


def test_the_base_model_finds_a_negative_that_repeats_the_query(tmp_path, tiny_model):
    from components.prepare.options import PrepareOptions

    rows = rows_of(40)
    for row in rows:
        row["negative"] = f"{row['query']} again"
    source = write_rows(tmp_path / "raw.csv", rows)
    options = PrepareOptions(
        base_model=str(tiny_model), evaluation_queries=5, dev_queries=3, max_seq_length=32, false_negatives=10
    )
    manifest = prepare(str(source), tmp_path / "V0", options)

    assert manifest.false_negatives["triplets"] == 10
    assert manifest.false_negatives["above"] > 5
    assert "Negatives that may be answers" in (tmp_path / "V0" / PROFILE).read_text()


GERMAN = "Das Haus steht am See und der Garten ist alt, was niemand gerne zugibt, sagt der Nachbar Nummer {}."
ENGLISH = "The house stands by the lake and the garden is old, which nobody likes to admit, says neighbour number {}."


def test_other_languages_are_dropped_when_asked(tmp_path, options):
    rows = rows_of(60)
    for number, row in enumerate(rows):
        row["positive"] = (GERMAN if number % 4 == 0 else ENGLISH).format(number)
    source = str(write_rows(tmp_path / "raw.csv", rows))
    manifest = prepare(source, tmp_path / "V0", options(languages=("en",)))

    assert {rule.name: rule.dropped for rule in manifest.rules}["language"] == 15
    assert all(row["positive"].startswith("The") for row in table_of(tmp_path / "V0" / "train.parquet"))


def test_a_language_that_cannot_be_detected_is_named(tmp_path, options):
    source = str(write_rows(tmp_path / "raw.csv", rows_of(20)))
    with pytest.raises(DataError, match=r"'english'.*such as en, de"):
        prepare(source, tmp_path / "V0", options(languages=("english",)))

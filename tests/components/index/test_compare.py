"""Two indexes are asked the same queries, and what changed most comes first."""

import json

import pytest

from components.errors import DataError
from components.index.compare import Side, agreement, compare
from components.index.compare_report import document, lines, report
from components.model.encoder import Encoder
from components.search.reader import open_index
from tests.factories.index_versions import index_of

QUERIES = {"q1": "sort the array", "q2": "find a path in the graph", "q3": "an edge of the tree"}
CORPUS = {
    "a": "sort the array",
    "b": "find a path in the graph",
    "c": "sum the column",
    "d": "an edge of the tree <b>&amp;",
}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        pytest.param("abc", "abc", 1.0, id="the-same"),
        pytest.param("abc", "xyz", 0.0, id="nothing-in-common"),
        pytest.param("ab", "ba", 0.5, id="swapped"),
        pytest.param("abcx", "abcy", (1 + 1 + 1 + 0.75) / 4, id="the-last"),
        pytest.param("xabc", "yabc", (0 + 1 / 2 + 2 / 3 + 3 / 4) / 4, id="the-first"),
        pytest.param("", "", 1.0, id="nothing-on-either-side"),
        pytest.param("", "ab", 0.0, id="nothing-on-one-side"),
        pytest.param("ab", "abcd", (1 + 1 + 2 / 3 + 2 / 4) / 4, id="one-is-shorter"),
    ],
)
def test_agreement_of_two_rankings_weighs_the_top_most(left, right, expected):
    assert agreement(left, right) == pytest.approx(expected)


@pytest.fixture(scope="module")
def encoder(exported_tiny_model):
    return Encoder.open(exported_tiny_model)


@pytest.fixture
def side(encoder, tmp_path):
    def make(version, corpus):
        index_of(tmp_path / version, encoder, corpus)
        return Side(version, open_index(tmp_path / version, encoder.digest), encoder)

    return make


def test_compare_of_equal_indexes_finds_no_change(side):
    comparison = compare(side("V1", CORPUS), side("V2", CORPUS), QUERIES)
    assert (comparison.queries, comparison.agreement, comparison.same, comparison.changes) == (3, 1.0, 3, [])


def test_compare_puts_what_changed_most_first_with_both_rankings(side):
    without_a = {name: text for name, text in CORPUS.items() if name != "a"}
    comparison = compare(side("V1", CORPUS), side("V2", without_a | {"e": "sort"}), QUERIES, {"q1": frozenset("a")})
    first = comparison.changes[0]
    assert first.query_id == "q1"
    assert first.previous[0].id == "a"
    assert "a" not in [hit.id for hit in first.new]
    assert [hit.id for hit in first.previous if hit.is_new] == ["a"]
    assert [hit.id for hit in first.new if hit.is_new] == ["e"]
    agreements = [change.agreement for change in comparison.changes]
    assert agreements == sorted(agreements)
    assert comparison.agreement < 1


def test_compare_keeps_as_many_changes_as_asked_for(side):
    other = {name: text for name, text in zip(CORPUS, reversed(CORPUS.values()), strict=True)}
    sides = side("V1", CORPUS), side("V2", other)
    everything = compare(*sides, QUERIES)
    assert compare(*sides, QUERIES, most=1).changes == everything.changes[:1]
    assert compare(*sides, QUERIES, most=1).agreement == everything.agreement


def test_compare_without_queries_is_refused(side):
    with pytest.raises(DataError, match="There is no query to compare the indexes with"):
        compare(side("V1", CORPUS), side("V2", CORPUS), {})


def test_report_shows_both_rankings_and_escapes_texts(side):
    sides = side("V1", CORPUS), side("V2", {"d": CORPUS["d"], "z": "something else"})
    comparison = compare(*sides, QUERIES, {"q3": frozenset("d")})
    html = report(comparison, *sides)
    assert "an edge of the tree &lt;b&gt;&amp;amp;" in html
    assert "<span class=good>relevant</span>" in html
    assert "not in the other index" in html
    assert "<script" not in html
    assert json.loads(json.dumps(document(comparison, *sides)))["changes"][0]["previous"]
    assert "V1 and V2 agree on" in lines(comparison, *sides)

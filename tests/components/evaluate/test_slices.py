"""Queries are grouped by length, by relevant passages, and by what else they carry."""

from components.evaluate.slices import query_slices

QUERIES = {f"q{place}": "word " * (place + 1) for place in range(40)}
QRELS = {query: {"p": 1} for query in QUERIES}


def test_by_length_in_words() -> None:
    groups = query_slices(QUERIES, QRELS, {})["query length"]
    assert {name: len(ids) for name, ids in groups.items()} == {
        "1-3 words": 3, "4-7 words": 4, "8-15 words": 8, "16 words or more": 25,
    }  # fmt: skip
    assert list(groups) == ["1-3 words", "4-7 words", "8-15 words", "16 words or more"]


def test_by_number_of_relevant_passages() -> None:
    qrels = {"a": {"p": 0}, "b": {"p": 2}, "c": dict.fromkeys("pqr", 1), "d": dict.fromkeys("pqrst", 1)}
    groups = query_slices(dict.fromkeys("abcd", "one"), qrels, {})["relevant passages"]
    assert groups == {"none": ["a"], "1": ["b"], "2-4": ["c"], "5 or more": ["d"]}


def test_by_the_values_of_a_column() -> None:
    groups = query_slices(QUERIES, QRELS, {"language": {"q0": "de", "q1": "en", "q2": "de"}})
    assert groups["column language"] == {"de": ["q0", "q2"], "en": ["q1"]}


def test_a_column_of_many_numbers_is_cut_into_quartiles() -> None:
    groups = query_slices(QUERIES, QRELS, {"price": {query: place for place, query in enumerate(QUERIES)}})
    assert [len(ids) for ids in groups["column price"].values()] == [10, 10, 10, 10]


def test_what_tells_nothing_apart_is_left_out() -> None:
    texts = {query: f"free text {query}" for query in QUERIES}
    same = dict.fromkeys(QUERIES, "en")
    found = query_slices(QUERIES, QRELS, {"text": texts, "language": same, "empty": {}, "tags": {"q0": ["a"]}})
    assert set(found) == {"query length"}


def test_every_query_is_in_one_slice_of_a_slicing() -> None:
    for groups in query_slices(QUERIES, QRELS, {"odd": {query: len(query) % 2 for query in QUERIES}}).values():
        assert sorted(query for ids in groups.values() for query in ids) == sorted(QUERIES)

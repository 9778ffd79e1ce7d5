"""BM25 beside the models: computed once for a dataset, and left out aloud where it does not fit."""

from components.evaluate import baseline
from components.evaluate.baseline import bm25_means, bm25_rankings


def test_it_ranks_by_shared_words(evaluation_set) -> None:
    rankings = dict(bm25_rankings(evaluation_set, 10))
    assert [rankings[query][0][0] for query in ("q1", "q2", "q3")] == ["p1", "p2", "p3"]


def test_passages_without_a_word_of_the_query_are_not_ranked(evaluation_set) -> None:
    assert {name for name, _ in dict(bm25_rankings(evaluation_set, 10))["q2"]} == {"p2"}


def test_a_query_of_unknown_words_finds_nothing(evaluation_set) -> None:
    evaluation_set.queries["q1"] = "zzz the"
    assert dict(bm25_rankings(evaluation_set, 10))["q1"] == []


def test_it_is_kept_for_the_next_model_and_made_again_when_damaged(evaluation_set, tmp_path) -> None:
    first = bm25_means(evaluation_set, 10, tmp_path, [])
    [kept] = tmp_path.glob("bm25-*.json")
    stamp = kept.stat().st_mtime_ns
    assert bm25_means(evaluation_set, 10, tmp_path, []) == first and kept.stat().st_mtime_ns == stamp
    kept.write_text("{")
    assert bm25_means(evaluation_set, 10, tmp_path, []) == first


def test_a_corpus_too_large_for_it_is_said(evaluation_set, monkeypatch) -> None:
    monkeypatch.setattr(baseline, "MOST_PASSAGES", 5)
    notes: list[str] = []
    assert bm25_means(evaluation_set, 10, None, notes) == {}
    assert notes == ["BM25 was left out: its index stays in memory, and 6 passages are more than 5."]

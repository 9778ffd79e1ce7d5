"""Pairs without labels: titles and their texts, passages and the next of their document."""

import pytest

from components.dataset.beir import Passage
from components.dataset.manifest import PAIRS
from components.prepare.corpus_pairs import MOST, corpus_pairs, write_corpus_pairs
from tests.components.prepare.conftest import table_of, write_beir

BODY = "a text that is long enough to say something about its title, {}"


def passage(number: int, title: str, body: str) -> Passage:
    """A passage as a collection's file gives it."""
    return Passage(number, f"p{number}", f"{title} {body}".strip(), title)


def test_corpus_pairs_of_titles_and_of_passages_of_one_document():
    document = [passage(n, "The moon", BODY.format(n)) for n in range(3)]
    rows = [
        *document,
        passage(3, "", BODY.format(3)),
        passage(4, "The sun", BODY.format(4)),
        passage(5, "Dust", "short"),
    ]
    assert [tuple(pair) for pair in corpus_pairs(rows)] == [
        ("title:p0", "The moon", BODY.format(0)),
        ("next:p1", BODY.format(0), BODY.format(1)),
        ("next:p2", BODY.format(1), BODY.format(2)),
        ("title:p4", "The sun", BODY.format(4)),
    ]


def test_corpus_pairs_leaves_out_the_title_that_the_text_repeats():
    (pair,) = corpus_pairs([passage(1, "The moon", f"The moon {BODY.format(1)}")])
    assert pair.positive == BODY.format(1)


@pytest.fixture
def collection(tmp_path):
    """More titles than are kept."""
    passages = {f"p{n}": {"title": f"title {n}", "text": BODY.format(n)} for n in range(MOST + 50)}
    return write_beir(
        tmp_path / "raw", passages=passages, queries={"q": {"text": "a"}}, qrels={"test": [("q", "p1", 1)]}
    )


def test_write_corpus_pairs_draws_by_seed_and_leaves_out_what_is_asked(collection, tmp_path):
    def drawn(name, seed):
        folder = tmp_path / name
        folder.mkdir()
        asked = [f"TITLE  {n}" for n in range(100)]
        assert write_corpus_pairs(collection / "corpus.jsonl", asked, seed, folder) == MOST - 50
        return table_of(folder / PAIRS)

    first, again, other = drawn("a", 1), drawn("b", 1), drawn("c", 2)
    assert first == again
    assert [row["query"] for row in first] != [row["query"] for row in other]
    assert not {row["query"] for row in first} & {f"title {n}" for n in range(100)}
    assert all(row["negative"] != row["positive"] for row in first)


def test_write_corpus_pairs_without_titles_writes_nothing(tmp_path):
    passages = {f"p{n}": {"text": BODY.format(n)} for n in range(5)}
    folder = write_beir(
        tmp_path / "raw", passages=passages, queries={"q": {"text": "a"}}, qrels={"test": [("q", "p1", 1)]}
    )
    assert write_corpus_pairs(folder / "corpus.jsonl", [], 1, tmp_path) == 0
    assert not (tmp_path / PAIRS).exists()

"""The evaluation page shows both models side by side, stands alone, and shows text as text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.errors import DataError
from components.gate.decide import decide
from components.gate.report import write_report
from tests.factories.evaluation_sets import write_beir_folder

CORPUS = {"p1": "sort an array <quickly> & well", "p2": "find a path in a graph", "p3": "plot a tree " * 60}
QUERIES = {"q0": "<b>sorting</b> arrays", "q1": "path search", "q2": "draw a tree"}
QRELS = {"q0": {"p1": 1}, "q1": {"p2": 2}, "q2": {"p3": 1}}


@pytest.fixture
def data(tmp_path) -> Path:
    return write_beir_folder(tmp_path / "data", CORPUS, QUERIES, QRELS)


@pytest.fixture
def pair(scores, data):
    digest = open_evaluation_set(data).digest
    shared = {"dataset_digest": digest, "slices": {"price": {"$1 & <2$": ["q0", "q1"], "more": ["q2"]}}}
    new = scores(
        "new", [1.0, 0.5, 0.0], top={"q0": ["p1", "p2"], "q1": ["p1", "p2"], "q2": ["p1", "p2"]},
        first_relevant={"q0": 1, "q1": 2}, baselines={"bm25": {"ndcg@10": 0.9}}, **shared,
    )  # fmt: skip
    old = scores(
        "old", [0.0, 0.5, 1.0], top={"q0": ["p2", "p3"], "q1": ["p1", "p2"], "q2": ["p3", "p1"]},
        first_relevant={"q0": 7, "q1": 2, "q2": 1}, **shared,
    )  # fmt: skip
    return new, old


class Strict(HTMLParser):
    """Collects the text, and fails on tags that do not nest."""

    VOID = frozenset({"meta", "br", "link", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


def read(path: Path) -> tuple[str, str]:
    """The page's source and what it says."""
    source = path.read_text(encoding="utf-8")
    parser = Strict()
    parser.feed(source)
    assert parser.open == []
    return source, re.sub(r"\s+", " ", "".join(parser.words))


def test_it_shows_decision_guards_slices_wins_and_losses_with_texts_and_ranks(pair, data, tmp_path) -> None:
    new, old = pair
    decision = decide(new, old)
    write_report(decision, new, old, tmp_path / "out" / "evaluation.html", data)
    _, text = read(tmp_path / "out" / "evaluation.html")
    assert decision.reason in text
    assert "1 better, 1 equal, 1 worse" in text
    assert all(guard.reason in text for guard in decision.guards)
    assert "new is below BM25: NDCG@10 0.5000 against 0.9000." in text
    assert "<b>sorting</b> arrays" in text and "sort an array <quickly> & well" in text, "text, not markup"
    assert "candidate: NDCG@10 1.0000, first relevant passage at rank 1" in text
    assert "champion: NDCG@10 0.0000, first relevant passage at rank 7" in text
    assert "candidate: NDCG@10 0.0000, no relevant passage in the ranking" in text
    assert text.index("Wins") < text.index("sorting") < text.index("Losses") < text.index("draw a tree")
    assert text.count("$1 & <2$") >= 2, "in the table and in the picture"
    assert "all queries" in text


def test_it_needs_no_network_and_no_script(pair, data, tmp_path) -> None:
    new, old = pair
    write_report(decide(new, old), new, old, tmp_path / "evaluation.html", data)
    source, _ = read(tmp_path / "evaluation.html")
    assert "<script" not in source and "<link" not in source and "url(http" not in source
    assert not re.findall(r'(?:src|xlink:href|[^:]href)="(?!#)[^"]*"', source)


def test_the_same_decision_gives_the_same_bytes(pair, data, tmp_path) -> None:
    new, old = pair
    for name in ("a.html", "b.html"):
        write_report(decide(new, old), new, old, tmp_path / name, data)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_without_the_data_ids_stand_for_texts(pair, tmp_path) -> None:
    new, old = pair
    write_report(decide(new, old), new, old, tmp_path / "evaluation.html")
    _, text = read(tmp_path / "evaluation.html")
    assert "q0" in text and "sorting" not in text


def test_other_data_than_was_scored_is_refused(pair, tmp_path) -> None:
    new, old = pair
    other = write_beir_folder(tmp_path / "other", {**CORPUS, "p4": "more"}, QUERIES, QRELS)
    with pytest.raises(DataError, match="is not the data that the models were scored on"):
        write_report(decide(new, old), new, old, tmp_path / "evaluation.html", other)


def test_score_files_without_anything_optional_still_make_a_page(scores, tmp_path) -> None:
    bare = {"latency_ms": None, "model_bytes": None, "encoder": {}}
    new, old = scores("new", np.full(3000, 0.5), **bare), scores("old", np.full(3000, 0.5), **bare)
    write_report(decide(new, old), new, old, tmp_path / "evaluation.html")
    source, text = read(tmp_path / "evaluation.html")
    assert "0 better, 3,000 equal, 0 worse" in text and "not known" in text and len(source) < 200_000

"""Pairs that a collection has without any label: a title and its text, a passage and the next one of its document.

They are no judgements, and next to many of those they add nothing. Where there are few they keep a training from having
seen two hundred texts only: the fewer labels, the more of these `train` takes.
"""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.dataset.beir import Passage, read_corpus
from components.dataset.manifest import PAIRS, Triplet

MOST = 1000  #: pairs that a dataset version keeps, drawn by seed
_LEAST_CHARACTERS = 40  #: of a text: less says next to nothing


class Pair(NamedTuple):
    """What is asked, and what answers it."""

    name: str
    query: str
    positive: str


def write_corpus_pairs(corpus: Path, asked: Iterable[str], seed: int, staged: Path) -> int:
    """Write ``pairs.parquet`` from a BEIR corpus, in an order that the seed draws; returns how many pairs there are.

    Nothing is written where there are none. The negative of a pair is the text of the next one.

    Args:
        corpus: the file with titles and texts.
        asked: the judged queries: a title that is one of them makes no pair.
        seed: of the draw.
        staged: the dataset version.
    """
    known = {_normal(query) for query in asked}
    fresh = (pair for pair in corpus_pairs(read_corpus(corpus)) if _normal(pair.query) not in known)
    drawn = heapq.nsmallest(MOST, fresh, key=lambda pair: _ticket(seed, pair.name))
    if len(drawn) < 2:
        return 0
    following = [*drawn[1:], drawn[0]]
    rows = [
        Triplet(pair.name, pair.query, pair.positive, next_one.positive)
        for pair, next_one in zip(drawn, following, strict=True)
        if pair.positive != next_one.positive
    ]
    schema = pa.schema([(name, pa.string()) for name in Triplet._fields])
    pq.write_table(
        pa.Table.from_pylist([row._asdict() for row in rows], schema=schema), staged / PAIRS, compression="zstd"
    )
    return len(rows)


def corpus_pairs(passages: Iterable[Passage]) -> Iterator[Pair]:
    """Return the pairs of a corpus, in its order; passages in a row that have one title are those of one document."""
    former: Passage | None = None
    for passage in passages:
        body = _body(passage)
        if passage.title and len(body) >= _LEAST_CHARACTERS:
            if former is not None and former.title == passage.title:
                yield Pair(f"next:{passage.passage_id}", _body(former), body)
            else:
                yield Pair(f"title:{passage.passage_id}", passage.title, body)
        former = passage


def _body(passage: Passage) -> str:
    """Return the text without its title, which some collections repeat in it."""
    body = passage.text.removeprefix(passage.title).strip()
    return " ".join(body.removeprefix(passage.title).split())


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _ticket(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()

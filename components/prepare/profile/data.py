"""What the profile shows, measured on the rows that were written; numbers and texts, no markup."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.dataset.manifest import QRELS, TRAIN, DatasetManifest, Triplet
from components.prepare.database import Database, file_literal

_WORD = re.compile(r"\w+")
_SHOWN = 8  # triplets to read


@dataclass(frozen=True)
class ProfileData:
    """All that stands in ``profile.html``."""

    manifest: DatasetManifest
    lengths: dict[str, list[int]]  #: tokens by column, of a sample
    overlap: dict[str, list[float]]  #: share of the query's words that the positive, the negative has; of a sample
    grades: dict[int, int]  #: judgements by relevance
    judgements: dict[int, int]  #: queries by how many relevant passages they have
    samples: list[Triplet]


def profile_data(
    database: Database, staged: Path, manifest: DatasetManifest, lengths: dict[str, list[int]], triplets: list[Triplet]
) -> ProfileData:
    """Measure a dataset version; `triplets` is the sample whose token lengths are in `lengths`."""
    qrels = file_literal(staged / QRELS)
    grades = database.execute(f"SELECT relevance, count(*) FROM {qrels} GROUP BY 1 ORDER BY 1").fetchall()
    relevant = database.execute(
        f"SELECT n, count(*) FROM (SELECT count(*) FILTER (relevance > 0) AS n FROM {qrels} GROUP BY query_id) "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return ProfileData(manifest, lengths, overlaps(triplets), dict(grades), dict(relevant), _shown(database, staged))


def overlaps(triplets: Iterable[Triplet]) -> dict[str, list[float]]:
    """For each triplet, the share of the query's distinct words that its positive and its negative have, in [0, 1]."""
    shares: dict[str, list[float]] = {"positive": [], "negative": []}
    for triplet in triplets:
        query = _words(triplet.query)
        if query:
            shares["positive"].append(len(query & _words(triplet.positive)) / len(query))
            shares["negative"].append(len(query & _words(triplet.negative)) / len(query))
    return shares


def histogram(values: Sequence[int], bins: int = 40) -> tuple[list[float], list[int]]:
    """Left edges and counts of equal bins from 0 to the 99.5th percentile; what is longer counts in the last bin."""
    if not values:
        return [0.0, 1.0], [0]
    longest = max(2.0, float(np.percentile(values, 99.5)))
    counts, edges = np.histogram(np.minimum(values, longest), bins=min(bins, int(longest)), range=(0, longest))
    return edges.tolist(), counts.tolist()


def common_words(texts: Iterable[str], number: int = 12) -> list[tuple[str, int]]:
    """Return the most frequent words of four letters or more, in alphabetical order where they are equally frequent."""
    counts = Counter(word for text in texts for word in _words(text) if len(word) > 3)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _shown(database: Database, staged: Path) -> list[Triplet]:
    rows = database.execute(
        f"SELECT query_id, query, positive, negative FROM {file_literal(staged / TRAIN)} LIMIT {_SHOWN}"
    ).fetchall()
    return [Triplet(*row) for row in rows]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))

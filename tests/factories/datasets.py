"""A task that a tiny model can learn: each query word means one passage word, and they share no letter."""

import csv
import random
from pathlib import Path

#: Words of `tests.factories.models.WORDS`, so that each is one token.
QUERY_WORDS = "array matrix graph node edge return value sort find path string number".split()
PASSAGE_WORDS = "file model train test query passage vector mean sum index row column".split()


def write_triplets(path: Path, count: int = 600, seed: int = 3) -> Path:
    """Write `count` triplets as CSV; every query has three words, its positive the three that they mean."""
    chance = random.Random(seed)
    meaning = dict(zip(QUERY_WORDS, PASSAGE_WORDS, strict=True))
    seen: set[frozenset[str]] = set()
    rows = []
    while len(rows) < count:
        words = chance.choices(QUERY_WORDS, k=5)
        if frozenset(words) in seen and count <= 400:
            continue
        seen.add(frozenset(words))
        wrong = chance.choices(PASSAGE_WORDS, k=5)
        positive = " ".join(chance.sample([meaning[word] for word in words], 5))
        rows.append((f"q{len(rows)}", " ".join(words), f"{positive} {len(rows)}", f"{' '.join(wrong)} x{len(rows)}"))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("query_id", "query", "positive", "negative"))
        writer.writerows(rows)
    return path

"""What a benchmark asks a server: texts of random words, never seen before or from one pool."""

import random
from collections.abc import Iterator

from load import Make

WORDS = (
    "array list graph node edge value function return sort merge query passage index row column matrix vector sum mean "
    "path tree string file number model train test data plot set given each between where when which default optional "
    "parameter shape type axis element compute estimate sample distribution random linear solve fit predict score"
).split()


def sentence(chooser: random.Random, words: int) -> str:
    """Words at random: with these, a word is about 1.2 tokens."""
    return " ".join(chooser.choices(WORDS, k=words))


def _pool() -> list[str]:
    always = random.Random(0)
    return [sentence(always, 50) for _ in range(500)]


def questions(documents: int, repeated: bool, seed: str) -> Make:
    """Requests of one short query and documents of about 60 tokens: never seen before, or from one pool of 500."""
    chooser = random.Random(seed)
    pool = _pool() if repeated else []

    def make() -> dict[str, object]:
        texts = chooser.sample(pool, documents) if repeated else [sentence(chooser, 50) for _ in range(documents)]
        return {"query": sentence(chooser, 8), "documents": texts}

    return make


def whole_pool() -> Iterator[dict[str, object]]:
    """Requests with every document of the pool once: after them, what is measured is repetition, not its beginning."""
    pool = _pool()
    for start in range(0, len(pool), 50):
        yield {"query": "fill", "documents": pool[start : start + 50]}


def mixed(seed: str) -> Make:
    """Requests of 1 to 40 documents of 1 to 120 words, never seen before, but every fifth one repeated."""
    chooser = random.Random(seed)
    kept: list[dict[str, object]] = []

    def make() -> dict[str, object]:
        if kept and chooser.random() < 0.2:
            return chooser.choice(kept)
        documents = [sentence(chooser, chooser.randint(1, 120)) for _ in range(chooser.randint(1, 40))]
        question: dict[str, object] = {"query": sentence(chooser, 8), "documents": documents}
        kept.append(question)
        del kept[:-50]
        return question

    return make


def inputs(texts: int, seed: str) -> Make:
    """Requests for embeddings of texts never seen before."""
    chooser = random.Random(seed)
    return lambda: {"model": "m", "input": [sentence(chooser, 50) for _ in range(texts)]}

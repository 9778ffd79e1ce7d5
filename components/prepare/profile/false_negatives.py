"""Negatives that may be answers: triplets whose negative a model scores above the positive by a margin.

Mined negatives are often relevant passages that nobody labelled; training against them teaches the model what is wrong
(Qu et al., "RocketQA", 2021). The report says how many there may be and shows the worst; nothing is dropped by it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from components.dataset.manifest import Triplet

MARGIN = 0.05  # of similarity: a difference that is not noise
WORST = 20  # triplets to read
SAMPLE = 1000  # triplets that are scored

#: Texts in, one vector of length 1 for each out: float32 of shape (texts, dimension).
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


class FalseNegatives(BaseModel):
    """How often, and where, a model prefers the negative."""

    model_config = ConfigDict(extra="forbid")

    triplets: int  #: that were scored
    above: int  #: negative scored above the positive
    above_by_margin: int  #: and by more than the margin
    margin: float
    worst: list[dict[str, Any]]  #: triplets with both similarities, largest difference first


def find_false_negatives(
    triplets: Sequence[Triplet], encode_queries: Encode, encode_documents: Encode, margin: float = MARGIN
) -> FalseNegatives:
    """Score triplets by the cosine or dot product of their embeddings and collect where the negative wins."""
    queries = encode_queries([triplet.query for triplet in triplets])
    positives = _similarities(queries, encode_documents([triplet.positive for triplet in triplets]))
    negatives = _similarities(queries, encode_documents([triplet.negative for triplet in triplets]))
    differences = negatives - positives
    order = [int(place) for place in np.argsort(-differences, kind="stable")[:WORST] if differences[place] > margin]
    return FalseNegatives(
        triplets=len(triplets),
        above=int((differences > 0).sum()),
        above_by_margin=int((differences > margin).sum()),
        margin=margin,
        worst=[_shown(triplets[place], float(positives[place]), float(negatives[place])) for place in order],
    )


def _similarities(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
    similarities: NDArray[np.float32] = np.einsum("ij,ij->i", queries, documents)
    return similarities


def _shown(triplet: Triplet, positive: float, negative: float) -> dict[str, Any]:
    scores = {"positive_similarity": round(positive, 4), "negative_similarity": round(negative, 4)}
    return {**triplet._asdict(), **scores}

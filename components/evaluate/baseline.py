"""BM25 on the same evaluation set: the line that a neural model should stay above."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from components.dataset.evaluation_set import EvaluationSet
from components.errors import DataError
from components.evaluate.metrics import means, per_query_metrics
from components.evaluate.search import Ranking
from components.records.document import Document

#: BM25 keeps its whole index in memory; beyond this many passages it is left out.
MOST_PASSAGES = 300_000


class Baseline(Document):
    """What BM25 scored on an evaluation set, kept so that it is computed once for all models."""

    noun: ClassVar[str] = "baseline"
    remedy: ClassVar[str] = "remove it"

    dataset_digest: str
    metrics: dict[str, float]


def bm25_means(
    evaluation_set: EvaluationSet, depth: int, cache: Path | None, notes: list[str]
) -> dict[str, dict[str, float]]:
    """``{"bm25": {metric: mean}}``; empty, with a sentence in `notes`, where the corpus is too large for it."""
    if evaluation_set.corpus_size > MOST_PASSAGES:
        notes.append(
            f"BM25 was left out: its index stays in memory, and {evaluation_set.corpus_size:,} passages are more than "
            f"{MOST_PASSAGES:,}."
        )
        return {}
    kept = cache / f"bm25-{version('bm25s')}-{depth}-{evaluation_set.digest}.json" if cache else None
    found = _read(kept, evaluation_set.digest)
    if found is None:
        rankings = dict(bm25_rankings(evaluation_set, depth))
        metrics = means(per_query_metrics(rankings, evaluation_set.qrels))
        found = Baseline(dataset_digest=evaluation_set.digest, metrics=metrics)
        if kept is not None:
            found.write(kept)
    return {"bm25": found.metrics}


def bm25_rankings(evaluation_set: EvaluationSet, depth: int) -> Iterator[tuple[str, Ranking]]:
    """(query_id, ranking) of every judged query by BM25: Lucene's variant, k1 = 0.9, b = 0.4, English stems.

    The parameters are those of Pyserini's BEIR baselines. Passages without a term of the query are not ranked.
    """
    import bm25s
    from Stemmer import Stemmer

    ids: list[str] = []
    texts: list[str] = []
    for batch in evaluation_set.passages():
        ids.extend(passage_id for passage_id, _ in batch)
        texts.extend(text for _, text in batch)
    tokenizer = bm25s.tokenization.Tokenizer(stopwords="en", stemmer=Stemmer("english"))
    make_index: Any = bm25s.BM25  # untyped
    index = make_index(method="lucene", k1=0.9, b=0.4)
    index.index(tokenizer.tokenize(texts, return_as="tuple", show_progress=False), show_progress=False)
    queries = list(evaluation_set.queries.values())
    tokens = tokenizer.tokenize(queries, update_vocab=False, return_as="ids", show_progress=False)
    for query_id, terms in zip(evaluation_set.queries, tokens, strict=True):
        yield query_id, _ranking(index, terms, ids, min(depth, len(ids)))


def _ranking(index: Any, terms: Sequence[int], ids: Sequence[str], depth: int) -> Ranking:
    if not terms:
        return []
    found, scores = index.retrieve([terms], k=depth, show_progress=False)
    pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
    ranking = [(ids[position], score) for position, score in pairs if score > 0]
    return sorted(ranking, key=lambda pair: (pair[1], pair[0]), reverse=True)


def _read(path: Path | None, dataset_digest: str) -> Baseline | None:
    if path is None or not path.is_file():
        return None
    try:
        found = Baseline.read(path)
    except DataError:
        return None
    return found if found.dataset_digest == dataset_digest else None

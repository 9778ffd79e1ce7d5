"""Evaluate: rank the whole corpus for every judged query with the encoder that will serve, and score the rankings."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from components.dataset.evaluation_set import EvaluationSet, open_evaluation_set
from components.dataset.manifest import DEFAULT_SPLIT
from components.evaluate.baseline import bm25_means
from components.evaluate.encoding_cache import EncodingCache
from components.evaluate.encodings import encodings
from components.evaluate.metrics import PER_QUERY, PerQuery, means, per_query_metrics
from components.evaluate.out_of_fold import note_what_was_seen, out_of_fold
from components.evaluate.progress import Progress, silent
from components.evaluate.run_file import RunFile
from components.evaluate.search import Ranking, search
from components.evaluate.slices import query_slices
from components.model.encoder import Encoder
from components.model.folds import OutOfFoldScores
from components.records.scores import HEADLINE, ScoreFile

#: Passages in a ranking, as in BEIR and TREC: MAP and Recall@1000 need that many.
DEPTH = 1000
_TOP = 10
_QUERIES_AT_ONCE = 1000
_LATENCY_QUERIES = 32
_WARM_UP = 3
_ENCODER_SETTINGS = {
    "base_model", "dimension", "max_seq_length", "precision", "pooling", "normalized", "similarity", "query_prompt",
    "document_prompt",
}  # fmt: skip


def evaluate(
    model_dir: Path,
    data: Path,
    *,
    name: str | None = None,
    split: str = DEFAULT_SPLIT,
    progress: Progress = silent,
    cache: Path | None = None,
    run_file: Path | None = None,
    bm25: bool = True,
) -> ScoreFile:
    """Score an exported model on a frozen evaluation set.

    The search is exact. A passage that has the query's own id is left out of that query's ranking unless the qrels call
    it relevant: in ArguAna and its like the query is itself a passage (as BEIR's `ignore_identical_ids`).

    A model that was cross-validated on this set is scored out of fold: each query with the model that has not seen it.
    A champion that was has been trained on all queries since; what it scored out of fold then lies beside it.

    Args:
        model_dir: what `export` made.
        data: a dataset version, or a BEIR folder.
        name: what to call the model in reports; the name of its folder when None.
        split: which qrels of a BEIR folder.
        progress: told how far each phase is.
        cache: a folder in which encodings are kept for the next run; nothing is kept when None.
        run_file: where to write the rankings as a TREC run file; nowhere when None.
        bm25: whether to score BM25 on the same set, for comparison.

    Raises:
        ModelError: when the model is damaged, cannot run here, or gives no usable embeddings.
        DataError: when the data is not a usable evaluation set.
    """
    started = time.perf_counter()
    encoder = Encoder.open(model_dir)
    evaluation_set = open_evaluation_set(data, split)
    notes = [f"{count:,} rows of the data were left out: {reason}." for reason, count in evaluation_set.dropped.items()]
    label = name or model_dir.resolve().name
    results = _Results(evaluation_set, run_file)
    judged = _judge(model_dir, label, encoder, evaluation_set, results, progress=progress, cache=cache, notes=notes)
    averages = means(results.per_query)
    return ScoreFile(
        headline=averages[HEADLINE],
        metrics=averages,
        per_query={metric: results.per_query[metric] for metric in PER_QUERY},
        slices=query_slices(evaluation_set.queries, evaluation_set.qrels, evaluation_set.query_columns),
        dataset_digest=evaluation_set.digest,
        model_digest=encoder.digest,
        model=label,
        encoder=encoder.config.model_dump(mode="json", include=_ENCODER_SETTINGS),
        corpus_size=evaluation_set.corpus_size,
        texts_per_second=judged.texts_per_second,
        latency_ms=_latency_ms(encoder, evaluation_set),
        model_bytes=sum((model_dir / file).stat().st_size for file in encoder.config.files),
        evaluation_set=evaluation_set.name,
        depth=DEPTH,
        cached=judged.cached,
        folds=judged.folds,
        baselines=bm25_means(evaluation_set, DEPTH, cache, notes) if bm25 else {},
        top=results.top,
        first_relevant=results.first_relevant,
        notes=notes,
        seconds=time.perf_counter() - started,
    )


class _Judged(NamedTuple):
    """How the rankings came about."""

    texts_per_second: float
    cached: bool = False
    folds: dict[str, int] = {}  # noqa: RUF012 - never changed


def _judge(
    model_dir: Path,
    label: str,
    encoder: Encoder,
    evaluation_set: EvaluationSet,
    results: "_Results",
    *,
    progress: Progress,
    cache: Path | None,
    notes: list[str],
) -> _Judged:
    """Rank the corpus for every query, and take the rankings into the results."""
    depth = min(DEPTH + 1, evaluation_set.corpus_size)
    folds = out_of_fold(model_dir, evaluation_set, progress, notes)
    if folds is not None:
        results.take(folds.rankings(depth), label)
        return _Judged(folds.texts_per_second, folds=folds.fold_of_query)
    known = OutOfFoldScores.find(model_dir, evaluation_set.digest)
    encoded = encodings(encoder, evaluation_set, progress, EncodingCache(cache) if cache else None, notes)
    found = search(encoded.queries, encoded.corpus(), depth)
    results.take(zip(evaluation_set.queries, found, strict=True), label)
    if known is not None:
        results.per_query = known.per_query
    note_what_was_seen(model_dir, label, evaluation_set, notes, known=known is not None)
    return _Judged(encoded.texts_per_second, encoded.cached)


class _Results:
    """What a score file keeps of the rankings, taken in pieces so that no more than a piece is held."""

    def __init__(self, evaluation_set: EvaluationSet, run_file: Path | None) -> None:
        self._qrels = evaluation_set.qrels
        self._run_file = run_file
        self.per_query: PerQuery = {}
        self.top: dict[str, list[str]] = {}
        self.first_relevant: dict[str, int] = {}

    def take(self, found: Iterator[tuple[str, Ranking]], tag: str) -> None:
        with RunFile(self._run_file, tag) if self._run_file else nullcontext() as run_file:
            while piece := dict(islice(found, _QUERIES_AT_ONCE)):
                rankings = {query: without_itself(query, piece[query], self._qrels[query]) for query in piece}
                self._add(rankings)
                if run_file is not None:
                    run_file.add(rankings)

    def _add(self, rankings: dict[str, Ranking]) -> None:
        scores = per_query_metrics(rankings, {query: self._qrels[query] for query in rankings})
        for metric, values in scores.items():
            self.per_query.setdefault(metric, {}).update(values)
        for query, ranking in rankings.items():
            self.top[query] = [passage for passage, _ in ranking[:_TOP]]
            relevant = (rank for rank, (passage, _) in enumerate(ranking, 1) if self._qrels[query].get(passage, 0) > 0)
            if (first := next(relevant, None)) is not None:
                self.first_relevant[query] = first


def without_itself(query: str, ranking: Ranking, judged: dict[str, int]) -> Ranking:
    """Return at most `DEPTH` passages, without the passage of the query's own id unless it is judged relevant."""
    if judged.get(query, 0) > 0:
        return ranking[:DEPTH]
    return [pair for pair in ranking if pair[0] != query][:DEPTH]


def _latency_ms(encoder: Encoder, evaluation_set: EvaluationSet) -> float:
    """Median milliseconds to encode one query alone, over queries spread evenly through the set."""
    texts = list(evaluation_set.queries.values())
    sample = texts[:: max(1, len(texts) // _LATENCY_QUERIES)][:_LATENCY_QUERIES]
    for text in sample[:_WARM_UP]:
        encoder.encode_queries([text])
    return median(_milliseconds(encoder, sample))


def _milliseconds(encoder: Encoder, texts: Iterable[str]) -> Iterator[float]:
    for text in texts:
        started = time.perf_counter()
        encoder.encode_queries([text])
        yield (time.perf_counter() - started) * 1000

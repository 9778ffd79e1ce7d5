"""Scores of a cross-validation: each query is searched with the model of its fold, which has not seen it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from components.dataset.evaluation_set import EvaluationSet
from components.errors import ModelError
from components.evaluate.encodings import encodings
from components.evaluate.progress import Progress
from components.evaluate.search import Ranking, search
from components.model.encoder import Encoder
from components.model.folds import FoldModels


class OutOfFold:
    """The models of a cross-validation, and what each of them ranks.

    Args:
        model_dir: an exported model with its fold models.
        folds: which of them has not seen which query.
        evaluation_set: with the queries of all folds.
        progress: told how far each phase is.
        notes: gets a sentence for whatever was left out.

    Attributes:
        fold_of_query: by query id.
    """

    def __init__(
        self, model_dir: Path, folds: FoldModels, evaluation_set: EvaluationSet, progress: Progress, notes: list[str]
    ) -> None:
        self._folders = folds.folders(model_dir)
        self._held_out = [[query for query in fold if query in evaluation_set.queries] for fold in folds.held_out]
        self.fold_of_query = {query: fold for fold, queries in enumerate(self._held_out) for query in queries}
        self._set = evaluation_set
        self._progress = progress
        self._notes = notes
        self._speeds: list[float] = []

    def rankings(self, depth: int) -> Iterator[tuple[str, Ranking]]:
        """(query_id, its best passages), fold after fold; the whole corpus is encoded for each."""
        places = {query: place for place, query in enumerate(self._set.queries)}
        for number, (folder, queries) in enumerate(zip(self._folders, self._held_out, strict=True), 1):
            rows = [places[query] for query in queries]
            yield from zip(queries, self._search(folder, rows, number, depth), strict=True)

    @property
    def texts_per_second(self) -> float:
        """The mean over the models that were used so far."""
        return float(np.mean(self._speeds))

    def _search(self, folder: Path, rows: Sequence[int], number: int, depth: int) -> Iterator[Ranking]:
        def told(phase: str, done: int, total: int) -> None:
            self._progress(f"fold {number} of {len(self._folders)}: {phase}", done, total)

        # Nothing is cached: these models are used once.
        encoded = encodings(Encoder.open(folder), self._set, told, None, self._notes)
        yield from search(encoded.queries[rows], encoded.corpus(), depth)
        self._speeds.append(encoded.texts_per_second)


def out_of_fold(
    model_dir: Path, evaluation_set: EvaluationSet, progress: Progress, notes: list[str]
) -> OutOfFold | None:
    """Return the cross-validation of a model on an evaluation set.

    None where the model was not cross-validated on this very set, and for a version of the registry, which has no fold
    models: see `note_what_was_seen`.

    Raises:
        ModelError: when some of the fold models are missing, or the record does not fit the queries.
    """
    folds = FoldModels.find(model_dir)
    if folds is None or folds.evaluation_digest != evaluation_set.digest:
        return None
    present = [folder.is_dir() for folder in folds.folders(model_dir)]
    if not any(present):
        return None
    lost = evaluation_set.queries.keys() - folds.fold_of_query().keys()
    if not all(present) or lost:
        raise ModelError(
            f"The cross-validation in {model_dir} is not whole: it has {sum(present)} of {len(present)} models, and no "
            f"fold for {len(lost)} of {len(evaluation_set.queries)} queries; train and export the model again."
        )
    return OutOfFold(model_dir, folds, evaluation_set, progress, notes)


def note_what_was_seen(
    model_dir: Path, label: str, evaluation_set: EvaluationSet, notes: list[str], *, known: bool
) -> None:
    """Add a sentence to `notes` where a model was trained on the queries that it is scored on.

    Args:
        model_dir: the exported model.
        label: what to call it.
        evaluation_set: what it is scored on.
        notes: of the score file.
        known: whether its scores are those of its own cross-validation on this set.
    """
    if known:
        notes.append(
            f"{label} has been trained on these queries since it was cross-validated: its scores are those of its "
            "cross-validation; where passages are listed they are what it ranks today."
        )
        return
    folds = FoldModels.find(model_dir)
    seen = set() if folds is None else folds.fold_of_query().keys() & evaluation_set.queries.keys()
    if seen:
        notes.append(
            f"{label} was trained on {len(seen)} of the {len(evaluation_set.queries)} queries that it is scored on, by "
            "their ids: its scores are higher than on new ones, and what is compared with it has to show more."
        )

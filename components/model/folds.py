"""The models of a cross-validation, beside the final one: one for each fold, trained on the queries of all others.

<model>/folds.json     which queries each of them has not seen
<model>/.folds/0/ …    the models themselves: as trained, and after `export` as served
"""

from pathlib import Path
from typing import ClassVar

from components.records.document import Document

_RECORD = "folds.json"
_SCORES = "out_of_fold.json"
_MODELS = ".folds"  #: hidden, since they only judge: the registry keeps no hidden file, and nobody serves them


class FoldModels(Document):
    """``folds.json``: the judged queries that a model was trained on, and in which fold each was held out."""

    noun: ClassVar[str] = "record of a cross-validation"
    remedy: ClassVar[str] = "train and export the model again"

    evaluation_digest: str  #: of the evaluation set whose queries they are
    held_out: list[list[str]]  #: query ids by fold: the fold's model has seen none of them

    @classmethod
    def find(cls, model: Path) -> "FoldModels | None":
        """Return the record in a model's folder; None where the model was not cross-validated.

        Raises:
            DataError: when it cannot be read.
        """
        return cls.read(model / _RECORD) if (model / _RECORD).is_file() else None

    def write_beside(self, model: Path) -> None:
        """Write the record into a model's folder."""
        self.write(model / _RECORD)

    def folders(self, model: Path) -> list[Path]:
        """Where the models of the folds are, in a model's folder."""
        return [model / _MODELS / str(fold) for fold in range(len(self.held_out))]

    def fold_of_query(self) -> dict[str, int]:
        """Return the fold of each query id."""
        return {query: fold for fold, queries in enumerate(self.held_out) for query in queries}


class OutOfFoldScores(Document):
    """``out_of_fold.json``: what a champion scored in its cross-validation, on queries that it was trained on since.

    It lies beside the champion's files while a candidate is measured against them, and is part of no version.
    """

    noun: ClassVar[str] = "record of a champion's cross-validation"
    remedy: ClassVar[str] = "fetch the champion again"

    dataset_digest: str  #: of the evaluation set
    per_query: dict[str, dict[str, float]]  #: {metric: {query_id: score}}

    @classmethod
    def find(cls, model: Path, dataset_digest: str) -> "OutOfFoldScores | None":
        """Return the scores beside a model, where there are some of this evaluation set.

        Raises:
            DataError: when they cannot be read.
        """
        path = model / _SCORES
        found = cls.read(path) if path.is_file() else None
        return found if found is not None and found.dataset_digest == dataset_digest else None

    def write_beside(self, model: Path) -> None:
        """Write the scores into a model's folder."""
        self.write(model / _SCORES)

"""The plan of an index whose shards several workers embed: the sorted corpus, and what all of them must agree on.

sorted.parquet   the corpus in the order of the index, with what the previous index holds of it
plan.json        this module's `IndexPlan`
"""

import shutil
from pathlib import Path
from typing import ClassVar, Literal

from components.errors import DataError
from components.index.corpus import SortedCorpus, reopened
from components.index.stage import Opened, plan_of
from components.machine.digest import file_sha256
from components.records.document import Document
from components.registry.files import Sha256
from components.registry.version import VersionName
from components.search.reader import Index

PLAN = "plan.json"
SORTED = "sorted.parquet"


class IndexPlan(Document):
    """``plan.json``: which index is made, of what, and what its workers copy from."""

    noun: ClassVar[str] = "plan of an index"
    remedy: ClassVar[str] = "run the pipeline again"

    format: Literal[1] = 1
    index: VersionName  #: whose number is claimed
    plan: Sha256  #: see `plan_of`
    model_digest: Sha256
    corpus_digest: Sha256
    sorted_sha256: Sha256  #: of the file of the sorted corpus
    dropped: dict[str, int]  #: rows of the corpus that were left out, by reason
    previous: VersionName | None  #: the index that unchanged passages are copied from; None for none

    def corpus_in(self, folder: Path, scratch: Path, held: Index | None) -> SortedCorpus:
        """Return the corpus of the plan in a folder.

        Args:
            folder: of the plan.
            scratch: a folder with room for the hashes of the previous index.
            held: the previous index.

        Raises:
            DataError: when it is not the corpus that was planned.
        """
        path = folder / SORTED
        if file_sha256(path) != self.sorted_sha256:
            raise DataError(f"{path} is not the corpus that was planned; run the pipeline again.")
        return reopened(path, self.corpus_digest, self.dropped, scratch, held.hashes() if held is not None else ())

    def check(self, opened: Opened, corpus: SortedCorpus) -> None:
        """Raise a DataError when the plan is of another model, or of other options."""
        if plan_of(opened, corpus) != self.plan:
            raise DataError(
                f"The plan of index {self.index} is of another model or of other options than this stage has; run the "
                "pipeline again."
            )


def keep_corpus(corpus: SortedCorpus, folder: Path) -> str:
    """Move a sorted corpus into the folder of its plan; returns the SHA-256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(corpus.path, folder / SORTED)
    return file_sha256(folder / SORTED)


def read_plan(folder: Path) -> IndexPlan:
    """Return the plan in a folder.

    Raises:
        DataError: when there is none.
    """
    return IndexPlan.read(folder / PLAN)

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
from components.records.document import Document
from components.registry.files import Sha256
from components.registry.version import VersionName

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
    dropped: dict[str, int]  #: rows of the corpus that were left out, by reason
    previous: VersionName | None  #: the index that unchanged passages are copied from; None for none

    def corpus_in(self, folder: Path) -> SortedCorpus:
        """Return the corpus of the plan in a folder.

        Raises:
            DataError: when it is not the corpus that was planned.
        """
        corpus = reopened(folder / SORTED, self.dropped)
        if corpus.digest != self.corpus_digest:
            raise DataError(f"{folder / SORTED} is not the corpus that was planned; run the pipeline again.")
        return corpus

    def check(self, opened: Opened, corpus: SortedCorpus) -> None:
        """Raise a DataError when the plan is of another model, or of other options."""
        if plan_of(opened, corpus) != self.plan:
            raise DataError(
                f"The plan of index {self.index} is of another model or of other options than this stage has; run the "
                "pipeline again."
            )


def write_plan(plan: IndexPlan, corpus: SortedCorpus, folder: Path) -> None:
    """Move a sorted corpus into a folder, and write its plan beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(corpus.path, folder / SORTED)
    plan.write(folder / PLAN)


def read_plan(folder: Path) -> IndexPlan:
    """Return the plan in a folder.

    Raises:
        DataError: when there is none.
    """
    return IndexPlan.read(folder / PLAN)

"""What training tells afterwards."""

from typing import ClassVar

from components.records.document import Document
from components.train.options import TrainOptions

REPORT = "training.json"
#: What the evaluators call the share of triplets whose positive is nearer to the query than the negative, and NDCG@10.
DEV_ACCURACY, DEV_NDCG = "dev_cosine_accuracy", "dev_cosine_ndcg@10"


class TrainingReport(Document):
    """``training.json``: what happened, step by step."""

    noun: ClassVar[str] = "training report"
    remedy: ClassVar[str] = "`ranklift train DATASET -o DIR` writes one"

    base_model: str
    recipe: str
    triplets: int  #: in an epoch
    examples: int  #: in an epoch: triplets of one query and positive are one, up to the recipe's number of negatives
    max_seq_length: int  #: tokens, of the model
    training_length: int  #: tokens at which texts were cut in training, those of dev included
    steps: int
    seconds: float  #: of this process; what it did before it was interrupted does not count
    preparation_seconds: float  #: of that process, before the first step: mining and tokens
    triplets_per_second: float  #: of those that were in batches, which no text may be in twice
    resumed_step: int = 0  #: where this process carried on from; 0 when it began at the start
    precision: str
    best_step: int  #: of the checkpoint that was kept; 0 where dev was not measured, and the last weights were
    averaging: float = 1.0  #: share of the fine-tuned weights in the mean with the base model's; 1.0: no mean
    dev_before: dict[str, float]  #: accuracy and NDCG@10 of the untouched base model; empty where there is no dev
    dev: dict[str, float]  #: of the model that was kept
    teacher: str = ""  #: the cross-encoder whose scores were learned as well, as it was named
    teacher_sha256: str = ""  #: of all its files
    folds: int = 0  #: of a cross-validation, in which as many models were trained beside this one
    history: list[dict[str, float]]  #: one entry per log line: step, epoch, loss or what dev gave
    options: TrainOptions

    def headline(self) -> dict[str, float]:
        """Return the numbers that the KFP UI shows beside the stage."""
        losses = [entry["loss"] for entry in self.history if "loss" in entry]
        return {
            "triplets": float(self.triplets),
            "triplets_per_second": self.triplets_per_second,
            **self._headline_of_dev(),
            **({"loss_first": losses[0], "loss_last": losses[-1]} if losses else {}),
        }

    def _headline_of_dev(self) -> dict[str, float]:
        if not (self.dev and self.dev_before):
            return {}
        return {
            "dev_accuracy_before": self.dev_before[DEV_ACCURACY],
            "dev_accuracy": self.dev[DEV_ACCURACY],
            "dev_ndcg@10_before": self.dev_before[DEV_NDCG],
            "dev_ndcg@10": self.dev[DEV_NDCG],
        }

    def judged(self) -> str:
        """Return what is known of the model's quality by now, for a person."""
        if self.folds:
            return f"to be judged by cross-validation in {self.folds} folds"
        if not self.dev:
            return "not measured"
        return f"dev NDCG@10 {self.dev[DEV_NDCG]:.4f}, accuracy {self.dev[DEV_ACCURACY]:.4f}"

"""What training is asked for."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.errors import ModelError
from components.options import SEED, Options
from components.train.recipes import RECIPES, Recipe, recipe_named

RECIPE_OPTIONS = ("epochs", "batch_size", "learning_rate", "evaluations")  #: what can be set in place of the recipe's


class TrainOptions(Options):
    """How to train; 0 stands for what the recipe says."""

    stage: ClassVar[str] = "train"
    internal: ClassVar[frozenset[str]] = frozenset({"evaluations"})

    base_model: str = Field("", description="Folder, hub id, s3://… or package://…; the dataset's when empty.")
    recipe: str = Field("seed", description=f"How to train: {', '.join(RECIPES)}.")
    epochs: float = Field(0.0, ge=0, le=100, description="Passes over the triplets; 0 is the recipe's.")
    batch_size: int = Field(0, ge=0, description="Queries in a batch; 0 is the recipe's.")
    learning_rate: float = Field(0.0, ge=0, le=1, description="Peak of the learning rate; 0 is the recipe's.")
    evaluations: int = Field(0, ge=0, description="How often dev is measured and a checkpoint kept.")
    max_seq_length: int = Field(0, ge=0, description="Tokens that the model reads; 0 is the dataset's.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Of training: fp32, bf16, or auto, which is bf16 where the processor computes in it."
    )
    teacher: str = Field(
        "",
        description="A cross-encoder whose scores are learned from, too: folder, hub id or s3://…; empty is none.",
    )
    seed: int = SEED
    processes: int = Field(0, ge=0, le=64, description="Training processes on a machine; 0 is one for each GPU.")
    num_nodes: int = Field(1, ge=1, le=64, description="Machines to train on; more than one need Kubeflow Trainer.")

    @model_validator(mode="after")
    def _teach_on_one_machine(self) -> Self:
        if self.teacher and self.num_nodes > 1:
            raise ValueError(
                f"a teacher scores the examples on one machine, and num_nodes is {self.num_nodes}; leave out teacher, "
                "or set num_nodes to 1"
            )
        return self

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the options with these values; the recipe must exist."""
        options = super().of(**values)
        options.resolved()
        return options

    def resolved(self) -> Recipe:
        """Return the recipe, with what was set in place of what it says.

        Raises:
            RankliftError: when there is no recipe of that name.
        """
        set_here = {name: value for name in RECIPE_OPTIONS if (value := getattr(self, name))}
        return recipe_named(self.recipe)._replace(**set_here)


def check_shares(options: TrainOptions, count: int) -> None:
    """Raise a ModelError unless so many processes can share a batch evenly."""
    batch_size = options.resolved().batch_size
    if batch_size % count:
        raise ModelError(
            f"A batch of {batch_size} examples cannot be shared evenly by {count} processes; set --batch-size "
            f"to a multiple of {count}, such as {max(1, batch_size // count) * count}."
        )

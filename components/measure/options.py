"""How a base model is measured."""

from typing import Any, ClassVar, Self

from pydantic import Field

from components.export.options import PrecisionChoice
from components.options import SEED, Options
from components.train.options import TrainOptions


class MeasureOptions(Options):
    """How a base model is measured; all but the number of examples are those of the training to come."""

    stage: ClassVar[str] = "measure"
    internal: ClassVar[frozenset[str]] = frozenset(
        {"base_model", "recipe", "batch_size", "learning_rate", "precision", "seed"}
    )

    base_model: str = Field("", description="Folder, hub id, s3://… or package://….")
    examples: int = Field(
        1000, ge=1, description="Train each base model on at most so many examples before it is compared."
    )
    recipe: str = Field("seed", description=TrainOptions.model_fields["recipe"].description)
    batch_size: int = Field(0, ge=0, description="Queries in a batch; 0 is the recipe's.")
    learning_rate: float = Field(0.0, ge=0, le=1, description="Peak of the learning rate; 0 is the recipe's.")
    precision: PrecisionChoice = Field("auto", description="Of serving.")
    seed: int = SEED

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the options with these values; the recipe must exist."""
        options = super().of(**values)
        options.training()
        return options

    def training(self, epochs: float = 0, max_seq_length: int = 0) -> TrainOptions:
        """Return the options for `train`.

        Args:
            epochs: 0 is the recipe's.
            max_seq_length: tokens that the model reads; 0 is the dataset's.
        """
        return TrainOptions.of(
            base_model=self.base_model,
            recipe=self.recipe,
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            max_seq_length=max_seq_length,
            seed=self.seed,
            processes=1,
        )

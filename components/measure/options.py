"""How a base model is measured."""

from typing import ClassVar

from pydantic import Field

from components.records.document import Document
from components.train.report import TrainOptions

EXAMPLES = 1000


class MeasureOptions(Document):
    """The parameters of `measure`; recipe, batch size and learning rate are those of the training to come."""

    noun: ClassVar[str] = "options of measure"

    base_model: str  #: folder, hub id, ``s3://…`` or ``package://…``
    examples: int = Field(default=EXAMPLES, ge=1)  #: that the short training sees, an example once for each epoch
    recipe: str = "seed"
    batch_size: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=0, ge=0, le=1)
    precision: str = "auto"  #: of serving
    seed: int = Field(default=42, ge=0, lt=2**32)

    def training(self, epochs: float = 0, max_seq_length: int = 0) -> TrainOptions:
        """Return the options for `train`.

        Args:
            epochs: 0 is the recipe's.
            max_seq_length: tokens that the model reads; 0 is the dataset's.
        """
        return TrainOptions(
            base_model=self.base_model,
            recipe=self.recipe,
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            max_seq_length=max_seq_length,
            seed=self.seed,
            processes=1,
        )

    def check(self) -> None:
        """Raise a RankliftError when there is no such recipe or precision."""
        from components.export.stage import checked_precision

        self.training().resolved()
        checked_precision(self.precision)

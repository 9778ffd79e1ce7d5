"""How a model is exported."""

from typing import ClassVar, Literal

from pydantic import Field

from components.options import Options

PrecisionChoice = Literal["auto", "fp32", "bf16", "int8"]


class ExportOptions(Options):
    """The options of `export`, and of `champion`, which exports the base model while nothing has been promoted."""

    stage: ClassVar[str] = "export"

    max_seq_length: int = Field(0, ge=0, description="Tokens; 0 is the dataset's, or the model's where there is none.")
    precision: PrecisionChoice = Field(
        "auto", description="Of serving; auto is bf16 where the processor computes in it, else fp32."
    )

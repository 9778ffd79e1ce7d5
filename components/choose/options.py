"""What a recommendation rests on."""

from typing import ClassVar

from pydantic import Field

from components.options import Options


class ChooseOptions(Options):
    """The options of `choose`."""

    stage: ClassVar[str] = "choose"

    margin: float = Field(
        0.01,
        ge=0,
        le=1,
        description="NDCG@10 that a faster base model may be behind the best and be chosen all the same.",
    )

"""What a recommendation rests on."""

from pydantic import BaseModel, ConfigDict, Field

MARGIN = 0.01


class ChooseOptions(BaseModel):
    """The parameters of `choose`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(default=MARGIN, ge=0, le=1)  #: NDCG@10 that a faster model may be behind the best

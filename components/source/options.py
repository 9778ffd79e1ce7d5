"""The base models that a run is to choose from."""

from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from components.options import Options
from components.source.candidates import check_names


class CandidateOptions(Options):
    """The base models to choose from, which `source` checks before anything slow begins."""

    stage: ClassVar[str] = "source"

    base_models: list[str] = Field(
        [],
        description="Base models between commas, in place of base_model: compared before the best of them is trained.",
    )

    @field_validator("base_models", mode="before")
    @classmethod
    def _between_commas(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if value.strip()] if isinstance(value, str) else value

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the options with these values; no name may be empty or there twice."""
        options = super().of(**values)
        if options.base_models:
            check_names(options.base_models)
        return options

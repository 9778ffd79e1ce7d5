"""What the options of all stages share: one declaration each, and one sentence for a value that is out of range."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from components.errors import RankliftError

#: The field `seed` of every stage that draws at random.
SEED: Any = Field(42, ge=0, lt=2**32, description="The same seed gives the same result.")


class Options(BaseModel):
    """The options of one stage. Each field declares its type, default, bounds and, in one sentence, what it does.

    The command line, the pipeline's parameters and ``docs/parameters.md`` are made of these declarations; see
    `pipeline.parameters`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    stage: ClassVar[str]  #: whose options they are, for messages
    internal: ClassVar[frozenset[str]] = frozenset()  #: fields that a caller in Python sets, and no command line

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return the options with these values, which a person gave.

        Raises:
            RankliftError: when a value is invalid, with the option, its value and a valid example.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise RankliftError(cls._complaint(error.errors()[0])) from error

    @classmethod
    def _complaint(cls, fault: ErrorDetails) -> str:
        reason = fault["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
        if not fault["loc"]:
            return f"{reason}."
        name, value = str(fault["loc"][0]), fault["input"]
        if fault["type"] == "extra_forbidden":
            return f"`{cls.stage}` has no option {name}; it has {', '.join(sorted(cls.model_fields))}."
        example = _example(cls.model_fields[name].get_default(call_default_factory=True))
        return f"{name} = {value!r} is invalid for `{cls.stage}`: {reason}{example}."


def _example(default: Any) -> str:
    if default in (None, "", (), [], {}):
        return ""
    return f"; give for example {default:g}" if isinstance(default, float) else f"; give for example {default}"

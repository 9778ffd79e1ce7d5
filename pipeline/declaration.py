"""A parameter as the options of its stage declare it: for the command line, for KFP, and for the documentation."""

from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from components.options import Options

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "JSON object", list: "list"}


class Parameter(NamedTuple):
    """Name, type, default, bounds and meaning, all from one field of one stage's options."""

    name: str
    stages: tuple[str, ...]  #: whose option it is
    kind: type  #: as KFP passes it: str, int, float, bool, dict or list
    default: Any  #: as KFP passes it
    bounds: dict[str, float]  #: such as ``{"≥": 0}``
    choices: tuple[str, ...]  #: when nothing else is allowed
    description: str

    def type_text(self) -> str:
        """Return the type, or the choices, for people."""
        return " or ".join(f"`{choice}`" for choice in self.choices) or _WORDS[self.kind]

    def default_text(self) -> str:
        """Return the default for people."""
        if self.default in ("", {}, []):
            return "none"
        if isinstance(self.default, bool):
            return f"`{str(self.default).lower()}`"
        return f"`{self.default:g}`" if isinstance(self.default, float) else f"`{self.default}`"

    def bounds_text(self) -> str:
        """Return the bounds for people; empty where there are none."""
        return ", ".join(f"{sign} {bound:,}" for sign, bound in self.bounds.items())


def declared(options: type[Options], name: str) -> Parameter:
    """Return what the options say of one of their fields."""
    field = options.model_fields[name]
    kind, choices = _kind(field.annotation)
    default = field.get_default(call_default_factory=True)
    return Parameter(
        name=name,
        stages=(options.stage,),
        kind=kind,
        default=kind(",".join(default) if isinstance(default, tuple) else default),
        bounds=_bounds(field),
        choices=choices,
        description=field.description or "",
    )


def public_fields(options: type[Options]) -> list[str]:
    """Return the fields that a person may set."""
    return [name for name in options.model_fields if name not in options.internal]


def _kind(annotation: Any) -> tuple[type, tuple[str, ...]]:
    origin = get_origin(annotation)
    if origin is Literal:
        return str, get_args(annotation)
    if origin is tuple:  # texts between commas
        return str, ()
    if origin in (Union, UnionType):
        (some,) = (member for member in get_args(annotation) if member is not NoneType)
        return _kind(some)
    kind: type = origin or annotation
    return kind, ()


def _bounds(field: FieldInfo) -> dict[str, float]:
    return {
        sign: bound
        for constraint in field.metadata
        for name, sign in _SIGNS.items()
        if (bound := getattr(constraint, name, None)) is not None
    }

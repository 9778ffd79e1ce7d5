"""Options that commands share: a command names one parameter for a group of them, and the group says which they are.

    @grouped
    def train(dataset: Path, options: TrainOptions, as_json: AsJson = False) -> None: ...

has one command-line option for each field of `TrainOptions`. typer reads them from the signature.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_type_hints

import typer

from components.errors import RankliftError
from components.options import Options
from pipeline.commands.registry_place import Where
from pipeline.declaration import Parameter, declared, public_fields
from pipeline.parameters import PARAMETERS


class RunParameters(dict[str, Any]):
    """The parameters of the pipeline, but for `data`, which a command has in its own way."""


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command as typer is to see it: an option for each member of a group, in place of the group."""
    signature = inspect.signature(command, eval_str=True)
    members = {name: _members(parameter.annotation) for name, parameter in signature.parameters.items()}
    groups = {name: found for name, found in members.items() if found is not None}

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        for name, options in groups.items():
            chosen = {option.name: values.pop(option.name) for option in options}
            values[name] = _made(signature.parameters[name].annotation, chosen)
        command(**values)

    listed = [groups.get(name, [parameter]) for name, parameter in signature.parameters.items()]
    parameters = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for options in listed for option in options]
    flat.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    return flat


def _members(annotation: Any) -> list[inspect.Parameter] | None:
    """Return the options of a group; None for what is no group."""
    if annotation is RunParameters:
        return [_option(parameter) for name, parameter in PARAMETERS.items() if name != "data"]
    if annotation is Where:
        hints = get_type_hints(Where, include_extras=True)
        return [_parameter(name, hints[name], default) for name, default in Where._field_defaults.items()]
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [_option(declared(annotation, name)) for name in public_fields(annotation)]
    return None


def _made(annotation: Any, values: dict[str, Any]) -> Any:
    if "guard" in values:
        values["guards"] = guard_limits(values.pop("guard"))
    if issubclass(annotation, Options):
        return annotation.of(**values)
    return annotation(**values) if annotation is Where else annotation(values)


def _option(parameter: Parameter) -> inspect.Parameter:
    """Return the command-line option of a parameter; a JSON object is NAME=LIMIT as often as one likes.

    A list is one text, with commas between what is in it.
    """
    if parameter.kind is dict:
        repeated = Annotated[list[str] | None, typer.Option(help=f"{parameter.description} May be repeated.")]
        return _parameter(parameter.name.removesuffix("s"), repeated, None)
    if parameter.kind is list:
        return _parameter(parameter.name, Annotated[str, typer.Option(help=parameter.description)], "")
    kind: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    lowest, highest = parameter.bounds.get("≥"), parameter.bounds.get("≤")
    shown = typer.Option(help=parameter.description, min=lowest, max=highest)
    return _parameter(parameter.name, Annotated[kind, shown], parameter.default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def guard_limits(settings: list[str] | None) -> Mapping[str, str]:
    """Return ``["max_recall_drop=0.05"]`` as a dict.

    Raises:
        RankliftError: when a setting is not NAME=LIMIT.
    """
    pairs = [setting.partition("=") for setting in settings or []]
    for name, equals, limit in pairs:
        if not (name and equals and limit):
            raise RankliftError(
                f"--guard {name}{equals}{limit} is not NAME=LIMIT; give for example --guard max_recall_drop=0.05."
            )
    return {name: limit for name, _, limit in pairs}

"""The pipeline's parameters: each is a field of one stage's options, which declares its type, default and bounds.

The command line, the pipeline's signature and ``docs/parameters.md`` are made of this list. All values are checked
before the first stage starts: the gate comes last, and what is wrong there would otherwise show after the training.

    python -m pipeline.parameters_page docs/parameters.md
"""

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.errors import RankliftError
from components.export.options import ExportOptions
from components.gate.options import GateParameters
from components.options import Options
from components.prepare.options import PrepareOptions, RawDataOptions
from components.train.nodes.settings import TrainJobSettings
from components.train.options import TrainOptions, check_shares
from pipeline.declaration import Parameter, declared, public_fields

#: The options that the pipeline sets, by stage. `seed` is one parameter of the pipeline, for every stage that has it.
STAGE_PARAMETERS: Mapping[type[Options], Sequence[str]] = {
    RawDataOptions: public_fields(RawDataOptions),
    PrepareOptions: public_fields(PrepareOptions),
    TrainOptions: ("recipe", "epochs", "batch_size", "learning_rate", "processes", "num_nodes", "seed"),
    ExportOptions: ("precision",),
    GateParameters: public_fields(GateParameters),
}


def _parameters() -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for options, names in STAGE_PARAMETERS.items():
        for parameter in (declared(options, name) for name in names):
            before = found.get(parameter.name)
            stages = (*before.stages, *parameter.stages) if before else parameter.stages
            found[parameter.name] = parameter._replace(stages=stages)
    return found


PARAMETERS: Mapping[str, Parameter] = _parameters()
#: Those that may name a file or folder of this machine.
LOCAL_PATHS = ("data", "base_model", "evaluation_data")
_Some = TypeVar("_Some", bound=Options)


def with_defaults(walk: Callable[..., Any], defaults: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Return the pipeline's function as KFP is to see it: each parameter with the default and meaning declared here.

    Args:
        walk: has every parameter by name, and no default.
        defaults: that this pipeline has in place of those declared.
    """
    chosen = defaults or {}

    @functools.wraps(walk)
    def declared_walk(*values: Any) -> Any:
        return walk(*values)

    signature = inspect.signature(walk)
    parameters = [
        parameter.replace(default=chosen.get(name, PARAMETERS[name].default))
        for name, parameter in signature.parameters.items()
    ]
    declared_walk.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    lines = [f"    {name}: {PARAMETERS[name].description}" for name in signature.parameters]
    declared_walk.__doc__ = "\n".join(["The pipeline.\n", "Args:", *lines])  # KFP keeps the lines in the YAML
    return declared_walk


def read_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return ``["epochs=2"]`` as ``{"epochs": 2.0}``, by the declared types.

    Raises:
        RankliftError: with the parameter, its value and one that works.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise RankliftError(f"--param {text} is not NAME=VALUE; give for example --param epochs=2.")
        if name not in PARAMETERS:
            raise RankliftError(f"The pipeline has no parameter {name}; it has {', '.join(sorted(PARAMETERS))}.")
        values[name] = _read(PARAMETERS[name], value)
    return values


def _read(parameter: Parameter, value: str) -> Any:
    try:
        content = json.loads(value) if parameter.kind in (dict, list) else value
        return TypeAdapter(parameter.kind).validate_python(content)
    except (ValueError, ValidationError) as error:
        example = '{"max_recall_drop": 0.05}' if parameter.kind is dict else parameter.default_text().strip("`")
        raise RankliftError(
            f"--param {parameter.name}={value} is invalid, its type is {parameter.type_text()}; give for example "
            f"--param {parameter.name}={example}."
        ) from error


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise the error that a stage would raise for its options; parameters that are left out have their defaults.

    Raises:
        RankliftError: with the parameter, its value and one that works.
    """
    for options, names in STAGE_PARAMETERS.items():
        options.of(**{name: parameters[name] for name in names if name in parameters})
    training = _options(TrainOptions, parameters)
    check_shares(training, max(1, training.processes) * training.num_nodes)


def check_for_machine(parameters: Mapping[str, Any]) -> None:
    """Raise a RankliftError where this machine, which is to run the stages, cannot do what the parameters ask for."""
    from components.export.model import choose_precision

    if _options(ExportOptions, parameters).precision == "bf16":
        choose_precision("bf16")  # asks the processor
    if _options(TrainOptions, parameters).num_nodes > 1:
        TrainJobSettings.from_environment()


def _options(options: type[_Some], parameters: Mapping[str, Any]) -> _Some:
    return options.of(**{name: parameters[name] for name in STAGE_PARAMETERS[options] if name in parameters})

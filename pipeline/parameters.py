"""The pipeline's parameters: each is a field of one stage's options, which declares its type, default and bounds.

The command line, the pipeline's signature and ``docs/parameters.md`` are made of this list. All values are checked
before the first stage starts: the gate comes last, and what is wrong there would otherwise show after the training.

    python -m pipeline.parameters_page docs/parameters.md
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from components.choose.options import ChooseOptions
from components.errors import RankliftError
from components.export.options import ExportOptions
from components.gate.options import GateParameters
from components.index.options import CorpusOptions, IndexOptions, WorkerOptions
from components.measure.options import MeasureOptions
from components.options import Options
from components.prepare.options import PrepareOptions, RawDataOptions
from components.source.options import CandidateOptions
from components.train.nodes.settings import TrainJobSettings
from components.train.options import TrainOptions, check_shares
from pipeline.declaration import Parameter, declared, public_fields


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}


#: By the options that declare them: the name of each parameter, and of the field. `seed` is one parameter for all.
STAGE_PARAMETERS: Mapping[type[Options], Mapping[str, str]] = {
    RawDataOptions: _same(public_fields(RawDataOptions)),
    PrepareOptions: _same(public_fields(PrepareOptions)),
    CandidateOptions: _same(["base_models"]),
    MeasureOptions: {"trial_examples": "examples"},
    ChooseOptions: {"choose_margin": "margin"},
    TrainOptions: _same(
        ["recipe", "epochs", "batch_size", "learning_rate", "teacher", "processes", "num_nodes", "seed"]
    ),
    ExportOptions: _same(["precision"]),
    GateParameters: _same(public_fields(GateParameters)),
    CorpusOptions: {"index_corpus": "corpus"},
    WorkerOptions: {"index_workers": "workers"},
    IndexOptions: {"index_min_recall": "min_recall", "index_max_ndcg_drop": "max_ndcg_drop"},
}


def _parameters() -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for options, names in STAGE_PARAMETERS.items():
        for name, field in names.items():
            parameter = declared(options, field)
            before = found[name].stages if name in found else ()
            found[name] = parameter._replace(name=name, stages=(*before, *parameter.stages))
    return found


PARAMETERS: Mapping[str, Parameter] = _parameters()
#: Those that may name a file or folder of this machine.
LOCAL_PATHS = ("data", "base_model", "evaluation_data", "query_generator", "teacher", "index_corpus")
#: Those of a pipeline that chooses its base model; it has no `base_model`.
CHOOSING = ("base_models", "trial_examples", "choose_margin")
#: Those that a compiled pipeline has no more: they say which stages it has.
COMPILED = ("index_workers",)
_Some = TypeVar("_Some", bound=Options)


def with_defaults(pipeline: Callable[..., Any], defaults: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Return the pipeline's function as KFP is to see it: each parameter with the default and meaning declared here.

    A pipeline that chooses its base model has no `base_model`, and any other none of what a choice needs.

    Args:
        pipeline: has every parameter by name, and no default; those that the pipeline does not have are None.
        defaults: that this pipeline has in place of those declared.
    """
    chosen = defaults or {}
    signature = inspect.signature(pipeline)
    parameters = [
        parameter.replace(default=chosen.get(name, PARAMETERS[name].default))
        for name, parameter in signature.parameters.items()
        if name not in _left_out(chosen)
    ]
    names = [parameter.name for parameter in parameters]

    @functools.wraps(pipeline)
    def declared_walk(*values: Any) -> Any:
        return pipeline(**dict.fromkeys(signature.parameters) | dict(zip(names, values, strict=True)))

    declared_walk.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    lines = [f"    {name}: {PARAMETERS[name].description}" for name in names]
    declared_walk.__doc__ = "\n".join(["The pipeline.\n", "Args:", *lines])  # KFP keeps the lines in the YAML
    return declared_walk


def chooses(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a pipeline with these parameters chooses its base model."""
    return len(_options(CandidateOptions, parameters).base_models) > 1


def index_workers(parameters: Mapping[str, Any]) -> int:
    """Return how many pods embed the corpus in a pipeline with these parameters."""
    return _options(WorkerOptions, parameters).workers


def shaping(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that decide which stages a pipeline has: those it is compiled with."""
    found = settled(parameters)
    shape = {"base_models": found["base_models"]} if "base_models" in found else {}
    return shape | ({"index_workers": workers} if (workers := index_workers(parameters)) > 1 else {})


def settled(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a pipeline with these has: `base_model`, or what it needs to choose one.

    With one base model there is nothing to choose, and the pipeline is what it is with that `base_model`.

    Raises:
        RankliftError: when there is a base model and a choice besides.
    """
    names = _options(CandidateOptions, parameters).base_models
    found = dict(parameters)
    if names and found.get("base_model", "auto") != "auto":
        raise RankliftError(
            f"base_model={found['base_model']} and base_models={','.join(names)} exclude each other; name the base "
            "model among the others, or alone."
        )
    if len(names) == 1:
        found["base_model"] = names[0]
    if names:
        found["base_models"] = names
    left_out = _left_out(found)
    return {name: value for name, value in found.items() if name not in left_out}


def _left_out(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return (*COMPILED, "base_model") if chooses(parameters) else (*COMPILED, *CHOOSING)


def read_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return ``["epochs=2"]`` as ``{"epochs": 2.0}``, by the declared types.

    Raises:
        RankliftError: with the parameter, its value and a valid example.
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
        return TypeAdapter(parameter.kind).validate_python(_content(parameter.kind, value))
    except (ValueError, ValidationError) as error:
        example = '{"max_recall_drop": 0.05}' if parameter.kind is dict else parameter.default_text().strip("`")
        raise RankliftError(
            f"--param {parameter.name}={value} is invalid, its type is {parameter.type_text()}; give for example "
            f"--param {parameter.name}={example}."
        ) from error


def _content(kind: type, value: str) -> Any:
    """Return a text as what it stands for: a JSON object, or a list as JSON or between commas."""
    if kind is dict or (kind is list and value.startswith("[")):
        return json.loads(value)
    return [item.strip() for item in value.split(",")] if kind is list else value


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise the error that a stage would raise for its options; parameters that are left out have their defaults.

    Raises:
        RankliftError: with the parameter, its value and a valid example.
    """
    for options in STAGE_PARAMETERS:
        _options(options, parameters)
    preparation, training = _options(PrepareOptions, parameters), _options(TrainOptions, parameters)
    if preparation.folds > 1 and training.num_nodes > 1:
        raise RankliftError(
            f"folds = {preparation.folds} cross-validates, which trains on one machine; leave out num_nodes = "
            f"{training.num_nodes}, or set folds to 1."
        )
    if preparation.folds > 1 and chooses(parameters):
        raise RankliftError(
            f"folds = {preparation.folds} cross-validates, which leaves no dev query to choose base_models by; name "
            "one base_model, or leave out folds."
        )
    check_shares(training, max(1, training.processes) * training.num_nodes)


def check_here(parameters: Mapping[str, Any], *, in_processes: bool) -> None:
    """Raise a RankliftError where a run on this machine cannot do what the parameters ask for.

    Args:
        parameters: of the pipeline.
        in_processes: whether the stages run in this installation, and not in containers.
    """
    if corpus := _options(CorpusOptions, parameters).corpus:
        from components.index.sources import check_corpus

        check_corpus(corpus)
    if not in_processes:
        return
    if _options(ExportOptions, parameters).precision == "bf16":
        from components.export.model import choose_precision

        choose_precision("bf16")  # asks the processor
    if _options(TrainOptions, parameters).num_nodes > 1:
        TrainJobSettings.from_environment()


def _options(options: type[_Some], parameters: Mapping[str, Any]) -> _Some:
    named = STAGE_PARAMETERS[options]
    return options.of(**{field: parameters[name] for name, field in named.items() if name in parameters})

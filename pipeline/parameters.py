"""The pipeline's parameters, held against every stage's own rules before the first stage begins.

`gate` comes last, and a limit that is no number would otherwise be told after the training.
"""

from collections.abc import Mapping
from typing import Any

#: What `prepare` calls otherwise than the pipeline does.
_PREPARE_NAMES = {"evaluation_data": "evaluation_source"}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise the error that a stage would raise for its own parameters; those that are left out have good defaults.

    Raises:
        RankliftError: when a stage refuses a value; the sentence names it.
        pydantic.ValidationError: when a value of `train` is out of range.
    """
    _check_prepare(parameters)
    _check_train(parameters)
    _check_export(parameters)
    _check_gate(parameters)
    _check_index(parameters)


def _check_prepare(parameters: Mapping[str, Any]) -> None:
    from components.prepare.options import PrepareOptions, prepare_options

    named = {_PREPARE_NAMES.get(name, name): value for name, value in parameters.items()}
    prepare_options(**{name: value for name, value in named.items() if name in PrepareOptions.model_fields})


def _check_train(parameters: Mapping[str, Any]) -> None:
    from components.train.report import TrainOptions

    shared = {"base_model", "max_seq_length", "precision"}  # of other stages, by the same names
    known = TrainOptions.model_fields.keys() - shared
    TrainOptions.model_validate({name: value for name, value in parameters.items() if name in known}).resolved()


def _check_export(parameters: Mapping[str, Any]) -> None:
    from components.export.model import choose_precision
    from components.export.stage import checked_precision

    precision = checked_precision(str(parameters.get("precision", "auto")))
    if precision == "bf16":
        choose_precision(precision)  # asks the processor


def _check_gate(parameters: Mapping[str, Any]) -> None:
    from components.gate.options import GateOptions
    from components.gate.switches import options_with_guards

    defaults = GateOptions()
    options_with_guards(
        parameters.get("min_gain", defaults.min_gain),
        parameters.get("alpha", defaults.alpha),
        parameters.get("guards", {}),
    )


def _check_index(parameters: Mapping[str, Any]) -> None:
    from components.index.options import IndexOptions, index_options
    from components.index.sources import check_corpus

    named = {name.removeprefix("index_"): value for name, value in parameters.items() if name.startswith("index_")}
    index_options(**{name: value for name, value in named.items() if name in IndexOptions.model_fields})
    if corpus := named.get("corpus"):
        check_corpus(str(corpus))

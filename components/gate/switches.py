"""The gate's guards by name, as a command line and a pipeline's parameters give them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from components.errors import RankliftError
from components.gate.options import GateOptions

OFF = "off"
#: The guards that have a limit to set or to switch off.
GUARDS = ("min_score", "max_recall_drop", "max_slice_drop", "max_latency_ms", "max_model_bytes")


def options_with_guards(min_gain: float, alpha: float, limits: Mapping[str, str | float]) -> GateOptions:
    """Return the gate's options with some guards' limits changed; "off" switches a guard off.

    Raises:
        RankliftError: when there is no such guard, or its limit is no number.
    """
    names = {field.name for field in fields(GateOptions)} - {"min_gain", "alpha"}
    for name in limits:
        if name not in names:
            raise RankliftError(f"There is no guard {name!r}; use one of {', '.join(sorted(names))}.")
    changes: dict[str, Any] = {name: _limit(name, limits[name]) for name in limits}
    return replace(GateOptions(min_gain=min_gain, alpha=alpha), **changes)


def _limit(name: str, limit: str | float) -> float | int | None:
    if limit == OFF:
        if name not in GUARDS:
            raise RankliftError(f"{name} cannot be switched off; give it a number.")
        return None
    try:
        number = float(limit)
    except ValueError:
        raise RankliftError(
            f"The guard {name} cannot be {limit!r}; give a number, or {OFF!r} to switch it off."
        ) from None
    return int(number) if number.is_integer() and name not in ("min_score", "power", "confidence") else number

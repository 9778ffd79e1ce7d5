"""Times and CPUs as the settings file writes them."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(seconds: float) -> str:
    """Return 7200 seconds as ``"2h"``."""
    unit, size = next((unit, size) for unit, size in reversed(_SECONDS.items()) if seconds % size == 0)
    return f"{seconds / size:.0f}{unit}"


def seconds(duration: str) -> int:
    """``"2h"`` as 7200."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def cpus(quantity: str) -> float:
    """``"500m"`` as 0.5."""
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)

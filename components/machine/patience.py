"""How long a stage waits for a store or a hub that is away, and when it must not wait any longer."""

import os
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_FIRST = (5, 10, 20)
_LONGEST = 30
_MARGIN = 60.0  # seconds that a stage keeps before it would be killed: to tell why it fails


class Patience(BaseSettings):
    """What a stage may wait for, as the environment has it.

    ``RANKLIFT_PATIENCE`` is how many seconds something may be away before the stage fails, none by default;
    ``RANKLIFT_STAGE_SECONDS`` is after how many seconds the cluster kills the stage's pod, 0 where it does not.
    """

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore", env_ignore_empty=True)

    patience: int = Field(0, ge=0)
    stage_seconds: int = Field(0, ge=0)


def further_waits(patience: float | None = None, *, at_most: float | None = None) -> Iterator[int]:
    """Whole seconds to wait before each further attempt: 5, 10, 20, then 30 again and again.

    They end with the patience, which counts from the first of them, and a minute before the pod would be killed: a
    stage that is killed while it waits can say nothing.

    Args:
        patience: in seconds; the environment's when None.
        at_most: of them.
    """
    settings = Patience()
    allowed = settings.patience if patience is None else patience
    end = time.monotonic() + min(allowed, allowed if at_most is None else at_most)
    if settings.stage_seconds:
        end = min(end, time.monotonic() + settings.stage_seconds - _MARGIN - process_age())
    for wait in chain(_FIRST, repeat(_LONGEST)):
        if time.monotonic() + wait > end:
            return
        yield wait


def process_age() -> float:
    """Seconds since this process began; since now where the system does not tell."""
    try:
        status = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        started = int(status.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]) - started)
    except (OSError, ValueError, IndexError):
        return 0.0


def tell_wait(sentence: str, wait: float) -> None:
    """Tell on standard error what is away, and when it is retried."""
    print(f"ranklift: {sentence} Retrying in {wait:.0f} s.", file=sys.stderr, flush=True)

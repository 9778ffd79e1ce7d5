"""The model hub: models from it, and an answer within seconds where it cannot be reached."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from components.errors import ModelError
from components.machine.patience import further_waits, tell_wait

#: Seconds for the hub to take a connection, and for it to answer. Its own client waits without end for some answers.
PATIENCE = 5.0
#: Seconds for which a hub is asked again at most. A cluster without the internet must not take a stage's patience.
_AWAY = 120.0
_T = TypeVar("_T")
_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*/config.json"]


def hub_faults() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises when the hub refuses, cannot be reached, or another server answers."""
    # Its client is built on httpx or on httpx2, by its version, and proxies that refuse come through as they are.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # httpx's, which it is built on

    return (HTTPError, OSError, ValueError)


def download_model(name: str, *, patient: bool = True) -> Path:
    """Return the snapshot of a model: from the hub when it answers, else from the hub's cache on this machine.

    Args:
        name: the model's id on the hub.
        patient: whether a hub that is away is asked again, as long as the stage's patience allows.

    Raises:
        ModelError: when neither has the model.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise ModelError("Models of the hub need huggingface_hub; install `ranklift[train]`.") from error
    waits = further_waits(at_most=_AWAY) if patient else iter(())
    while True:
        try:
            HfApi().model_info(name, timeout=PATIENCE)
            return Path(snapshot_download(name, allow_patterns=_FILES))
        except hub_faults() as error:
            fault = error
        try:
            return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        except hub_faults() as error:
            sentence = f"The model hub does not give {name} ({first_line(fault)})"
            wait = next(waits, None) if hub_is_away(fault) else None
            if wait is None:
                raise ModelError(f"{sentence}, and its cache here has no copy.") from error
        tell_wait(f"{sentence}.", wait)
        time.sleep(wait)


def ask_hub(ask: Callable[[], _T], sentence: str) -> _T:
    """Return what the hub answers; retry a hub that is away, as long as the stage's patience allows.

    Args:
        ask: sends the question, once.
        sentence: what the hub does not give, for who watches.

    Raises:
        Exception: one of `hub_faults`, the last.
    """
    waits = further_waits(at_most=_AWAY)
    while True:
        try:
            return ask()
        except hub_faults() as error:
            wait = next(waits, None) if hub_is_away(error) else None
            if wait is None:
                raise
            tell_wait(f"{sentence} ({first_line(error)}).", wait)
        time.sleep(wait)


def hub_is_away(error: Exception) -> bool:
    """Whether the hub may give an answer, or a better one, a little later."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None:
        return not isinstance(error, ValueError)
    return bool(status >= 500 or status in {408, 429})


def first_line(error: Exception) -> str:
    """Return what an error says, shortened to a clause."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

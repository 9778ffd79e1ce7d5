"""The model hub: models from it, and an answer within seconds where it cannot be reached."""

from pathlib import Path

from components.errors import ModelError

#: Seconds for the hub to take a connection, and for it to answer. Its own client waits without end for some answers.
PATIENCE = 5.0
_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*/config.json"]


def hub_faults() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises when the hub refuses, cannot be reached, or something else answers in its place."""
    # Its client is built on httpx or on httpx2, by its version, and proxies that refuse come through as they are.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the one that it is built on

    return (HTTPError, OSError, ValueError)


def download_model(name: str) -> Path:
    """The snapshot of a model: from the hub when it answers, else from the hub's cache on this machine.

    Raises:
        ModelError: when neither has the model.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise ModelError("Models of the hub need huggingface_hub; install `ranklift[train]`.") from error
    faults = hub_faults()
    try:
        HfApi().model_info(name, timeout=PATIENCE)
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except faults as error:
        reason = first_line(error)
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except faults as error:
        raise ModelError(f"The model hub does not give {name} ({reason}), and its cache here has no copy.") from error


def first_line(error: Exception) -> str:
    """What an error says, shortened to a clause."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

"""What goes wrong when the model hub is asked: one tuple of exceptions, and one line that says which it was."""


def hub_faults() -> tuple[type[Exception], ...]:
    """The exceptions that huggingface_hub raises for a hub that refuses, is not there, or breaks off.

    Raises:
        ImportError: when huggingface_hub is not installed.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    # The library that speaks HTTP below it changed its name between two versions, and is the first base of this error.
    http_error = HfHubHTTPError.__bases__[0]
    # A connection that fails, a disk that is full, and a file that is in no cache are OSErrors.
    return (http_error, HFValidationError, LocalTokenNotFoundError, OSError)


def first_line(error: Exception) -> str:
    """The first line of an error's text, without the full stop: the hub's go on for several, with advice of its own."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")

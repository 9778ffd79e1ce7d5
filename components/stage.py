"""What surrounds the body of every stage, whatever runs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import RankliftError

#: Runs of the pipeline in processes ignore the image; elsewhere the DAG sets each stage's own.
DEFAULT_IMAGE = "python:3.11-slim-bookworm"
ERROR_PREFIX = "ranklift: error: "


@contextmanager
def reported() -> Iterator[None]:
    """End the process with status 2 and one sentence where the user can fix the problem; the log needs no traceback."""
    try:
        yield
    except RankliftError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None

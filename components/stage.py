"""What surrounds the body of every stage, whatever runs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from components.errors import RankliftError
from components.system_faults import system_sentence

#: Runs of the pipeline in processes ignore the image; elsewhere the DAG sets each stage's own.
DEFAULT_IMAGE = "python:3.11-slim-bookworm"
ERROR_PREFIX = "ranklift: error: "


@contextmanager
def reported() -> Iterator[None]:
    """End the process with one sentence where the user can fix the problem; the log needs no traceback.

    Its status is 2, and 128 + the signal's number after a signal asked the stage to stop. KFP knows no statuses but 0
    and others: `retries` in stages.yaml makes it run the stage again after any of the others.
    """
    try:
        yield
    except RankliftError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_status) from None
    except ValidationError as error:
        print(f"{ERROR_PREFIX}{invalid_value(error)}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
    except OSError as error:
        sentence = system_sentence(error)
        if sentence is None:
            raise
        print(f"{ERROR_PREFIX}{sentence}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def invalid_value(error: ValidationError) -> str:
    """The first of the values that will not do, as a sentence."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))} = {first['input']!r} will not do: {first['msg']}."

"""How the commands of this room end: they run before anything is installed, so they have no command line of typer."""

import sys
from collections.abc import Callable

from components.errors import ERROR_PREFIX, RankliftError


def exit_status(work: Callable[[], object]) -> int:
    """Do the work of a command; return 0, or 2 after one sentence on standard error."""
    try:
        work()
    except RankliftError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr)
        return 2
    return 0

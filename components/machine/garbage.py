"""What Python's garbage collector is spared in a process that imports much, works, and ends."""

import atexit
import gc
import sys

_YOUNG = 10_000  # objects between two looks at the youngest; 700 by default
_REPORTS_LEAKS = "_duckdb"  # its bindings print whatever the last collection left


def spare_collections() -> None:
    """Have the garbage collector look less often from here on, and as little as can be when the process ends.

    torch and sentence-transformers make a million objects that live as long as the process. The collector goes through
    them again and again while they are made, and several times more at the end, where the system takes all the memory
    back anyway: a third of the processor time of a short stage. Cycles are still freed while the process works.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    atexit.register(_leave_the_rest)


def _leave_the_rest() -> None:
    gc.disable()
    if _REPORTS_LEAKS not in sys.modules:
        gc.freeze()

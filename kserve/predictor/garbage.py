"""What Python's garbage collector is spared, so that it never stops the event loop for long."""

import gc

_YOUNG = 20_000  # objects between two looks at the youngest; a request of 1,000 texts makes some thousand


def spare_the_collector() -> None:
    """Leave the modules and routes that were made until now out of every later collection.

    They live as long as the process. A full collection goes through all of them, which takes 100 ms and more, and a
    burst of large requests brings one on again and again. Call this once, before a model is loaded: what is left out is
    never freed when it is part of a cycle, and a model that was replaced must be.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])

"""The same work on many items, a few at a time."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(action: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 4) -> list[_Result]:
    """Return what an action gives for each item, in the order of the items.

    The first failure stops what has not begun, and is raised.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(action, items))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

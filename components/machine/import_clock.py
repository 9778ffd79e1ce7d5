"""How long a process spends in import statements, wherever they stand: heavy libraries are imported where needed."""

import builtins
import threading
import time
from types import ModuleType, TracebackType
from typing import Any, Self


class ImportClock:
    """A context that counts the seconds of all import statements of one thread; those inside others count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._thread = threading.get_ident()
        self._depth = 0
        self._import = builtins.__import__

    def __enter__(self) -> Self:
        self._import = builtins.__import__
        builtins.__import__ = self._timed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        builtins.__import__ = self._import

    def _timed(self, *arguments: Any, **named: Any) -> ModuleType:
        if self._depth or threading.get_ident() != self._thread:
            return self._import(*arguments, **named)
        self._depth += 1
        started = time.perf_counter()
        try:
            return self._import(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - started
            self._depth -= 1

"""SIGTERM and SIGINT as a request that work ends at the next good moment, and not in the middle of something."""

import signal
import threading
from types import FrameType
from typing import Any, Self

from components.errors import StoppedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While used as a context on the main thread, a first signal is noted; a second one does what it always did."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self, sentence: str) -> None:
        """Raise a StoppedError when a signal came.

        Args:
            sentence: with ``{signal}`` where its name goes.

        Raises:
            StoppedError: with the sentence.
        """
        if self.received is not None:
            raise StoppedError(sentence.format(signal=self.received.name), self.received)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

"""SIGTERM and SIGINT as a request that work ends at the next good moment, and not in the middle of something."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Self

from components.errors import StoppedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Answer both signals with a handler while the context lasts; on another thread than the main one, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stopping(sentence: str) -> Iterator[None]:
    """Raise a StoppedError at the first signal, wherever the work is; a second one does what it always did.

    Args:
        sentence: what the error says, with ``{signal}`` where the signal's name goes.
    """
    with ExitStack() as around:

        def stop(number: int, frame: FrameType | None) -> None:
            around.close()
            raise _stopped(sentence, signal.Signals(number))

        around.enter_context(handled(stop))
        yield


class StopSignals:
    """While used as a context on the main thread, a first signal is noted; a second one does what it always did."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._around = ExitStack()

    def __enter__(self) -> Self:
        self._around.enter_context(handled(self._take))
        return self

    def __exit__(self, *_: object) -> None:
        self._around.close()

    def check(self, sentence: str) -> None:
        """Raise a StoppedError when a signal came.

        Args:
            sentence: with ``{signal}`` where its name goes.

        Raises:
            StoppedError: with the sentence.
        """
        if self.received is not None:
            raise _stopped(sentence, self.received)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._around.close()


def _stopped(sentence: str, received: signal.Signals) -> StoppedError:
    return StoppedError(sentence.format(signal=received.name), received)

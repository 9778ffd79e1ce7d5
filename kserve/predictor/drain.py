"""The way out: after a signal the server is not ready, then takes nothing new, and is gone within its time."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

from predictor.engine.switchboard import Switchboard

logger = logging.getLogger("ranklift")

_TO_CLOSE = 1.0  # seconds of the drain timeout that are left for closing what did not end by itself


class Drain:
    """Stops the servers after SIGINT or SIGTERM: `drain_delay` seconds later, within `drain_timeout` seconds."""

    def __init__(self, switchboard: Switchboard, stops: Sequence[Callable[[float], Awaitable[None]]]) -> None:
        self._switchboard = switchboard
        self._stops = stops
        self._end = 0.0
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def seconds_left(self) -> float:
        """Until the drain timeout has passed."""
        return max(0.0, self._end - time.monotonic())

    def on_signals(self) -> None:
        """Begin at the first signal; later ones change nothing."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._begin)

    def _begin(self) -> None:
        if self._switchboard.draining:
            return
        self._switchboard.draining = True
        logger.info("draining")
        asyncio.get_running_loop().call_later(self._switchboard.settings.drain_delay, self._stop)

    def _stop(self) -> None:
        timeout = self._switchboard.settings.drain_timeout
        self._end = time.monotonic() + timeout
        for stop in self._stops:
            self._stopping.add(asyncio.ensure_future(_awaited(stop, max(0.0, timeout - _TO_CLOSE))))


async def _awaited(stop: Callable[[float], Awaitable[None]], grace: float) -> None:
    await stop(grace)

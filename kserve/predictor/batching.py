"""Texts of concurrent requests are embedded together, in batches that form while the processor is busy.

There is no waiting for a batch to fill: whatever waits when an inference stream is free becomes its next batch. The
text that waited longest chooses it, together with those closest to it in length, so that padding stays small and
nothing starves. Tokens are made by a thread of their own while inference runs.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from components.encoder import Embeddings, Encoder, Session, common_size
from components.errors import ModelError
from predictor import metrics
from predictor.cache import Embedded
from predictor.refusal import overloaded, timed_out, unavailable

logger = logging.getLogger("ranklift")

_WINDOW = 512  # waiting texts among which a batch finds its like
# OpenVINO's binding prepares itself in its first inference, and deadlocks when two threads do that at once: one holds
# the interpreter's lock and waits for the other's static initialisation (seen in 2 of 60 starts, 2026.4).
_ONE_WARMS_UP = threading.Lock()
_SMALLEST_SHARE = 128  # tokens below which splitting work among streams gains nothing


class Waiting:
    """One text on its way through the queue."""

    __slots__ = ("deadline", "encoding", "future", "since", "text", "tokens")

    def __init__(self, text: str, deadline: float, future: "asyncio.Future[Embedded]") -> None:
        self.text = text
        self.deadline = deadline
        self.future = future
        self.since = time.monotonic()
        self.encoding: Any = None
        self.tokens = 0


class Batcher:
    """The queue in front of one encoder, and the threads that empty it.

    `submit` is for the event loop's thread. As many threads infer as there are streams, each with a session of its own.
    """

    def __init__(self, encoder: Encoder, *, streams: int, batch_tokens: int, max_waiting: int, timeout: float) -> None:
        self._encoder = encoder
        self._streams = streams
        self._batch_tokens = batch_tokens
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._admitted = 0  # submitted and not resolved; the event loop's thread only
        self._seconds_per_text = 0.01  # moving average, for Retry-After
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._refusing = False
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._threads: list[threading.Thread] = []

    @property
    def admitted(self) -> int:
        """Texts that were submitted and are not embedded yet."""
        return self._admitted

    async def start(self) -> None:
        """Start the threads on the running event loop, and wait until each has inferred once.

        Raises:
            ModelError: when the model cannot infer.
        """
        self._loop = asyncio.get_running_loop()
        warm = [self._loop.create_future() for _ in range(self._streams)]
        self._threads = [
            threading.Thread(target=self._work, args=(future,), name=f"infer-{number}", daemon=True)
            for number, future in enumerate(warm)
        ]
        for thread in self._threads:
            thread.start()
        try:
            await asyncio.gather(*warm)
        except BaseException:
            await self.close()
            raise

    def submit(self, texts: Sequence[str], deadline: float) -> list[Waiting]:
        """Queue texts; each one's future resolves to its `Embedded`, or raises the `RefusalError` that it met.

        Args:
            texts: prompts included.
            deadline: on the clock of `time.monotonic`; what still waits then is given up.

        Raises:
            RefusalError: 429 when the queue has no room for all of them, 503 when the batcher is closed.
        """
        if self._refusing or self._loop is None:
            raise unavailable("The model is being replaced or the server is stopping; try again.")
        if self._admitted + len(texts) > self._max_waiting:
            seconds = self._admitted * self._seconds_per_text
            raise overloaded(self._admitted, self._max_waiting, min(seconds, self._timeout))
        waiting = [Waiting(text, deadline, self._loop.create_future()) for text in texts]
        self._admitted += len(waiting)
        metrics.QUEUE.inc(len(waiting))
        self._tokenizing.submit(self._tokenize, waiting)
        return waiting

    async def close(self) -> None:
        """Refuse new texts, embed those that wait, and stop the threads."""
        self._refusing = True
        while self._admitted:
            await asyncio.sleep(0.01)
        self._tokenizing.shutdown(wait=False)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _tokenize(self, waiting: list[Waiting]) -> None:
        try:
            encodings = self._encoder.tokenize([item.text for item in waiting])
        except Exception as error:  # noqa: BLE001 - whatever it was, the requests that wait must hear of it
            self._resolve_later(waiting, error)
            return
        for item, encoding in zip(waiting, encodings, strict=True):
            item.encoding = encoding
            item.tokens = len(encoding.ids)
        with self._changed:
            self._queue.extend(waiting)
            self._changed.notify_all()

    def _work(self, warm: "asyncio.Future[None]") -> None:
        try:
            with _ONE_WARMS_UP:
                session = self._warm_session()
        except Exception as error:  # noqa: BLE001 - OpenVINO and tokenizers have no narrower one in common
            self._report(warm, ModelError(f"The model cannot infer ({error}); export it again."))
            return
        self._report(warm, None)
        while batch := self._next_batch():
            started = time.monotonic()
            try:
                vectors = session.run([item.encoding for item in batch])
            except Exception as error:  # noqa: BLE001 - as above
                self._resolve_later(batch, error)
                continue
            seconds = time.monotonic() - started
            _observe(batch, started, seconds)
            self._seconds_per_text += 0.05 * (seconds / len(batch) / self._streams - self._seconds_per_text)
            self._resolve_later(batch, vectors)

    def _warm_session(self) -> Session:
        """A session that has inferred a short batch and a long text: the graph is compiled for a stream by then."""
        session = self._encoder.session()
        longest = self._encoder.config.max_seq_length
        for texts in (["warm up", "a text to warm up with"], [" ".join(["warm"] * longest)]):
            vectors = session.run(self._encoder.tokenize(texts))
        dimension = self._encoder.config.dimension
        if vectors.shape != (1, dimension) or not np.isfinite(vectors).all():
            raise ModelError(f"its embeddings are not {dimension} finite numbers each")
        return session

    def _report(self, warm: "asyncio.Future[None]", fault: ModelError | None) -> None:
        def report() -> None:
            if warm.done():
                return
            if fault is None:
                warm.set_result(None)
            else:
                warm.set_exception(fault)

        if self._loop is not None:
            self._loop.call_soon_threadsafe(report)

    def _next_batch(self) -> list[Waiting]:
        """The next texts to infer together; empty when the batcher is closing and nothing waits."""
        with self._changed:
            while True:
                overdue = self._drop_overdue()
                if overdue:
                    self._resolve_later(overdue, timed_out(self._timeout))
                if self._queue:
                    return self._take()
                if self._closing:
                    return []
                self._changed.wait()

    def _drop_overdue(self) -> list[Waiting]:
        now = time.monotonic()
        overdue = []
        while self._queue and self._queue[0].deadline < now:
            overdue.append(self._queue.popleft())
        return overdue

    def _take(self) -> list[Waiting]:
        window = list(islice(self._queue, _WINDOW))
        batch = choose_batch(window, self._batch_tokens, self._streams)
        chosen = set(map(id, batch))
        rest = [item for item in window if id(item) not in chosen]
        for _ in window:
            self._queue.popleft()
        self._queue.extendleft(reversed(rest))
        return batch

    def _resolve_later(self, waiting: list[Waiting], outcome: Embeddings | Exception) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._resolve, waiting, outcome)

    def _resolve(self, waiting: list[Waiting], outcome: Embeddings | Exception) -> None:
        self._admitted -= len(waiting)
        metrics.QUEUE.dec(len(waiting))
        if isinstance(outcome, Exception):
            logger.error("%d texts were not embedded: %s", len(waiting), type(outcome).__name__)
        for row, item in enumerate(waiting):
            if item.future.done():
                continue
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
                item.future.exception()  # marks it as seen: the request that asked may be gone
            else:
                item.future.set_result(Embedded(outcome[row].copy(), item.tokens))


def choose_batch(window: Sequence[Waiting], budget: int, streams: int) -> list[Waiting]:
    """The first of the window, and those closest to it in length, within a budget of padded tokens.

    When little waits, the budget is one stream's share of it, so that a lone request uses every stream.
    """
    share = -(-sum(item.tokens for item in window) // streams)
    budget = min(budget, max(share, _SMALLEST_SHARE))
    length = window[0].tokens
    batch = [window[0]]
    longest = length
    for item in sorted(window[1:], key=lambda item: abs(item.tokens - length)):
        longest = max(longest, item.tokens)
        if longest * (len(batch) + 1) > budget:
            break
        batch.append(item)
    return batch[: common_size(len(batch))]


def _observe(batch: list[Waiting], started: float, seconds: float) -> None:
    metrics.BATCH_TEXTS.observe(len(batch))
    metrics.BATCH_TOKENS.observe(len(batch) * max(item.tokens for item in batch))
    metrics.INFERENCE.observe(seconds)
    for item in batch:
        metrics.QUEUE_WAIT.observe(started - item.since)

"""Texts of concurrent requests are embedded together, in batches that form while the processor is busy.

There is no waiting for a batch to fill: whatever waits when an inference stream is free becomes its next batch. The
text whose turn it is chooses it, together with those closest to it in length, so that padding stays small and nothing
starves. Turns are fair between requests, and what nobody waits for any more leaves before it costs an inference. Tokens
are made by a thread of their own while inference runs.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from queue import SimpleQueue

import numpy as np

from components.encoder import Embeddings, Encoder, Session
from components.errors import ModelError, RankliftError
from predictor import metrics
from predictor.budgets import fits
from predictor.cache import Embedded
from predictor.fair_queue import FairQueue, Order
from predictor.refusal import RefusalError, invalid, overloaded, timed_out, unavailable
from predictor.waiting import Slice, Waiting, choose_batch, slices

logger = logging.getLogger("ranklift")

_WINDOW = 512  # waiting texts among which a batch finds its like
_TURN_CHARACTERS = 1 << 16  # that are tokenised of one request before it is another's turn
_JOIN_SECONDS = 5.0  # for a thread to end: it is in one inference, or one slice of texts
# OpenVINO's binding prepares itself in its first inference, and deadlocks when two threads do that at once: one holds
# the interpreter's lock and waits for the other's static initialisation (seen in 2 of 60 starts, 2026.4).
_ONE_WARMS_UP = threading.Lock()


class EmbeddingError(RankliftError):
    """A text that was not embedded, for a reason that is in the log."""


class Batcher:
    """The queue in front of one encoder, and the threads that empty it.

    `submit` and `leave` are for the event loop's thread. As many threads infer as there are streams, each with a
    session of its own.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        streams: int,
        batch_tokens: int,
        max_waiting: int,
        timeout: float,
        max_characters: int = 16 << 20,
    ) -> None:
        self._encoder = encoder
        self._streams = streams
        self._batch_tokens = batch_tokens
        self._max_waiting = max_waiting
        self._max_characters = max_characters
        self._timeout = timeout
        # Submitted and neither embedded nor left; the event loop's thread only.
        self._admitted: set[Waiting] = set()
        self._characters = 0
        self._seconds_per_text = 0.01  # moving average, for Retry-After
        self._submitted: SimpleQueue[list[Slice] | None] = SimpleQueue()
        self._queue: FairQueue[Waiting] = FairQueue(batch_tokens)
        self._changed = threading.Condition()
        self._some_left = False
        self._refusing = False
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []

    @property
    def admitted(self) -> int:
        """Texts that were submitted, are not embedded yet, and that somebody waits for."""
        return len(self._admitted)

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
        self._threads.append(threading.Thread(target=self._tokenize_all, name="tokenize", daemon=True))
        for thread in self._threads:
            thread.start()
        try:
            await asyncio.gather(*warm)
        except BaseException:
            await self.close()
            raise

    def submit(self, texts: Sequence[str], deadline: float) -> list[Waiting]:
        """Queue the texts of a request; each one's future resolves to its `Embedded`, or raises what it met.

        Args:
            texts: prompts included.
            deadline: on the clock of `time.monotonic`; what still waits then is given up.

        Raises:
            RefusalError: 429 when the queue has no room for all of them, 503 when the batcher is closed.
        """
        if self._refusing or self._loop is None:
            raise unavailable("The model is being replaced or the server is stopping; try again.")
        characters = sum(map(len, texts))
        self._check_room(len(texts), characters)
        order = Order()
        waiting = [Waiting(text, deadline, self._loop.create_future(), order) for text in texts]
        self._admitted.update(waiting)
        self._characters += characters
        metrics.QUEUE.inc(len(waiting))
        self._submitted.put(list(slices(waiting)))
        return waiting

    def leave(self, waiting: Iterable[Waiting]) -> None:
        """A request waits no longer for these texts; what no other one waits for is not embedded any more."""
        for item in waiting:
            item.wanted -= 1
            if item.wanted <= 0 and not item.has_ended:
                item.future.cancel()
                self._settle(item)
                self._some_left = True

    async def close(self, within: float | None = None) -> None:
        """Refuse new texts, embed those that wait, for so many seconds at most, and stop the threads."""
        self._refusing = True
        end = None if within is None else time.monotonic() + within
        while self._admitted and (end is None or time.monotonic() < end):
            await asyncio.sleep(0.01)
        self._resolve(list(self._admitted), unavailable("The server is stopping; try again."))
        self._submitted.put(None)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, _JOIN_SECONDS)

    def _check_room(self, texts: int, characters: int) -> None:
        waiting = len(self._admitted)
        seconds = min(waiting * self._seconds_per_text, self._timeout)
        for amount, others, limit, what in (
            (texts, waiting, self._max_waiting, "texts"),
            (characters, self._characters, self._max_characters, "characters"),
        ):
            if amount > limit:
                raise invalid(f"The request has {amount} {what} where the whole queue has room for {limit}.")
            if not fits(amount, others, limit):
                raise overloaded(others, limit, what, seconds)

    def _tokenize_all(self) -> None:
        queue: FairQueue[Slice] = FairQueue(_TURN_CHARACTERS)
        while self._receive(queue):
            self._tokenize(queue.pop().items)

    def _receive(self, queue: FairQueue[Slice]) -> bool:
        """Queue what was submitted, after waiting for something when nothing is queued; False at the end."""
        while not queue or not self._submitted.empty():
            submitted = self._submitted.get()
            if submitted is None:
                return False
            for piece in submitted:
                queue.add(piece, piece.characters)
        return True

    def _tokenize(self, items: list[Waiting]) -> None:
        items = [item for item in items if not item.has_ended]
        if not items:
            return
        try:
            tokens = self._encoder.tokenize([item.text for item in items])
        except BaseException as error:  # noqa: BLE001 - a panic in `tokenizers` is no Exception; who waits must hear
            self._fail(items, error)
            return
        with self._changed:
            for item, made in zip(items, tokens, strict=True):
                item.tokens = made
                item.text = ""
                self._queue.add(item, item.length)
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
                vectors = session.run([item.tokens for item in batch])
            except BaseException as error:  # noqa: BLE001 - as in `_tokenize`
                self._fail(batch, error)
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
                batch = self._take()
                if batch or self._closing:
                    return batch
                self._changed.wait()

    def _take(self) -> list[Waiting]:
        if self._some_left:
            self._some_left = False
            self._queue.filter(lambda item: not item.has_ended)
        now = time.monotonic()
        while window := self._queue.first(_WINDOW):
            overdue = [item for item in window if item.deadline < now]
            if not overdue:
                batch = choose_batch(window, self._batch_tokens, self._streams)
                self._queue.take(batch)
                return batch
            self._queue.take(overdue)
            self._resolve_later(overdue, timed_out(self._timeout))
        return []

    def _fail(self, items: list[Waiting], error: BaseException) -> None:
        logger.error("%d texts were not embedded: %s", len(items), type(error).__name__, exc_info=error)
        self._resolve_later(items, EmbeddingError("The model failed on a text of the request; the log says where."))

    def _resolve_later(self, waiting: list[Waiting], outcome: Embeddings | RefusalError | EmbeddingError) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, waiting, outcome)

    def _resolve(self, waiting: list[Waiting], outcome: Embeddings | RefusalError | EmbeddingError) -> None:
        for row, item in enumerate(waiting):
            if item.has_ended:
                continue  # it was left
            self._settle(item)
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
                item.future.exception()  # marks it as seen: the request that asked may be gone
            else:
                item.future.set_result(Embedded(outcome[row].copy(), item.length, item.tokens.was_cut))

    def _settle(self, item: Waiting) -> None:
        self._admitted.discard(item)
        self._characters -= item.characters
        metrics.QUEUE.dec()


def _observe(batch: list[Waiting], started: float, seconds: float) -> None:
    metrics.BATCH_TEXTS.observe(len(batch))
    metrics.BATCH_TOKENS.observe(len(batch) * max(item.length for item in batch))
    metrics.INFERENCE.observe(seconds)
    for item in batch:
        metrics.QUEUE_WAIT.observe(started - item.since)

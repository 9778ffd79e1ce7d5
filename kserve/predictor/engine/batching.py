"""Texts of concurrent requests are embedded together, in batches that form while the processor is busy.

There is no waiting for a batch to fill: whatever waits when an inference stream is free becomes its next batch. The
text whose turn it is chooses it, together with those closest to it in length, so that padding stays small and nothing
starves. Turns are fair between requests, and what nobody waits for any more leaves before it costs an inference. Tokens
are made by a separate thread while inference runs.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from queue import Empty, SimpleQueue

from components.errors import ModelError
from components.model.encoder import Embeddings, Encoder
from predictor import metrics
from predictor.engine.budgets import fits
from predictor.engine.cache import Embedded
from predictor.engine.fair_queue import Order
from predictor.engine.lanes import Lanes
from predictor.engine.waiting import Asker, EmbeddingError, Slice, Waiting, choose_batch, slices
from predictor.engine.warm_up import warm_session
from predictor.refusal import RefusalError, invalid, overloaded, timed_out, unavailable

logger = logging.getLogger("ranklift")

_WINDOW = 512  # waiting texts among which a batch finds its like
_TURN_CHARACTERS = 1 << 16  # that are tokenised of one request before it is another's turn
_AHEAD = 2 * _WINDOW  # texts with tokens that wait, beyond which tokenising large requests waits: they may yet leave
_PAUSE = 0.01  # seconds; a batch takes longer
_CHARACTERS_PER_TOKEN = 4  # about, to tell small requests from large ones before they are tokenised
_JOIN_SECONDS = 5.0  # for a thread to end: it is in one inference, or one slice of texts


class Batcher:
    """The queue in front of one encoder, and the threads that empty it.

    `submit` and `wait` are for the event loop's thread. As many threads infer as there are streams.
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
        self._queue: Lanes[Waiting] = Lanes(batch_tokens)
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
        """Queue the texts of a request, for `wait` to wait for.

        Args:
            texts: prompts included.
            deadline: on the clock of `time.monotonic`; what still waits then is dropped.

        Raises:
            RefusalError: 429 when the queue has no room for all of them, 503 when the batcher is closed.
        """
        if self._refusing or self._loop is None:
            raise unavailable("The model is being replaced or the server is stopping; try again.")
        characters = sum(map(len, texts))
        self._check_room(len(texts), characters)
        order = Order(is_small=characters <= _CHARACTERS_PER_TOKEN * self._batch_tokens)
        waiting = [Waiting(text, deadline, order) for text in texts]
        self._admitted.update(waiting)
        self._characters += characters
        metrics.QUEUE.inc(len(waiting))
        self._submitted.put(list(slices(waiting)))
        return waiting

    async def wait(self, items: Collection[Waiting], deadline: float) -> None:
        """Wait until the texts have an outcome; what no request waits for any more is not embedded.

        Raises:
            RefusalError: when the deadline passes.
        """
        asker = Asker(asyncio.get_running_loop())
        pending = [item for item in items if not item.has_ended]
        alone = (asker,)  # shared by all of them: a thousand texts need no thousand lists
        for item in pending:
            item.askers = (*item.askers, asker) if item.askers else alone
        asker.missing = len(pending)
        try:
            if pending:
                await asyncio.wait((asker.future,), timeout=deadline - time.monotonic())
            if asker.missing:
                raise timed_out(self._timeout)
        finally:
            if asker.missing:
                self._leave(asker, pending)

    def _leave(self, asker: Asker, items: Iterable[Waiting]) -> None:
        left = []
        for item in items:
            if not item.has_ended:
                item.askers = tuple(other for other in item.askers if other is not asker)
                if not item.askers:
                    left.append(item)
        self._settle(left)
        for item in left:
            item.end(None)
        self._some_left = self._some_left or bool(left)

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
        queue = Lanes[Slice](_TURN_CHARACTERS)
        while self._receive(queue):
            self._tokenize(queue.next().pop().items)

    def _receive(self, queue: Lanes[Slice]) -> bool:
        """Queue what was submitted, after waiting for something to do; False at the end."""
        while not self._submitted.empty() or not self._may_tokenize(queue):
            try:
                submitted = self._submitted.get(timeout=_PAUSE if len(queue) else None)
            except Empty:
                continue
            if submitted is None:
                return False
            for piece in submitted:
                queue.add(piece, piece.characters)
        return True

    def _may_tokenize(self, queue: Lanes[Slice]) -> bool:
        return queue.has_small or (len(queue) > 0 and len(self._queue) < _AHEAD)

    def _tokenize(self, items: list[Waiting]) -> None:
        if not (items := [item for item in items if not item.has_ended]):
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
            session = warm_session(self._encoder)
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
            padded = len(batch) * max(item.length for item in batch)
            metrics.observe_batch(padded, seconds, [started - item.since for item in batch])
            self._seconds_per_text += 0.05 * (seconds / len(batch) / self._streams - self._seconds_per_text)
            self._resolve_later(batch, vectors)

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
        """Return the next texts to infer together; empty when the batcher is closing and nothing waits."""
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
        while len(self._queue):
            queue = self._queue.next()
            window = queue.first(_WINDOW)
            now = time.monotonic()
            overdue = [item for item in window if item.deadline < now]
            if not overdue:
                batch = choose_batch(window, self._budget(window[0]), self._streams)
                queue.take(batch)
                return batch
            queue.take(overdue)
            self._resolve_later(overdue, timed_out(self._timeout))
        return []

    def _budget(self, first: Waiting) -> int:
        """Return the most tokens of the next batch: a quarter as many of a large request while small ones come."""
        if first.order.is_small or not self._queue.expects_small:
            return self._batch_tokens
        return self._batch_tokens // 4

    def _fail(self, items: list[Waiting], error: BaseException) -> None:
        logger.error("%d texts were not embedded: %s", len(items), type(error).__name__, exc_info=error)
        self._resolve_later(items, EmbeddingError("The model failed on a text of the request; the log says where."))

    def _resolve_later(self, waiting: list[Waiting], outcome: Embeddings | RefusalError | EmbeddingError) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, waiting, outcome)

    def _resolve(self, waiting: list[Waiting], outcome: Embeddings | RefusalError | EmbeddingError) -> None:
        self._settle([item for item in waiting if not item.has_ended])
        for row, item in enumerate(waiting):
            if item.has_ended:
                continue  # it was left
            if isinstance(outcome, Exception):
                item.end(outcome)
            else:
                item.end(Embedded(outcome[row].copy(), item.length, item.tokens.was_cut))

    def _settle(self, items: Sequence[Waiting]) -> None:
        self._admitted.difference_update(items)
        self._characters -= sum(item.characters for item in items)
        metrics.QUEUE.dec(len(items))

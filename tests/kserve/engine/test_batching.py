"""How texts of many requests share inferences: fairness, limits, deadlines; the company changes no answer."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.model.encoder import Encoder
from predictor import metrics
from predictor.engine.batching import Batcher
from predictor.engine.served import Served
from predictor.refusal import RefusalError
from predictor.settings import PredictorSettings
from tests.kserve.conftest import TEXTS
from tests.kserve.running import running, wait_for


def embed(encoder: Encoder, texts: list[str], **options) -> list:
    """What the batcher makes of texts that are submitted at once."""

    async def run():
        batcher = Batcher(encoder, **{"streams": 2, "batch_tokens": 256, "max_waiting": 1000, "timeout": 10, **options})
        await batcher.start()
        try:
            items = batcher.submit(texts, time.monotonic() + options.get("timeout", 10))
            await batcher.wait(items, time.monotonic() + 60)
            return [item.outcome for item in items]
        finally:
            await batcher.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def encoder(exported_tiny_model) -> Encoder:
    return Encoder.open(exported_tiny_model)


def test_every_text_gets_its_own_embedding_however_they_were_batched(encoder):
    texts = [f"{text} {number} " * (1 + number % 7) for number in range(60) for text in TEXTS]
    outcomes = embed(encoder, texts)
    expected = encoder.encode_documents(texts)
    np.testing.assert_allclose([item.vector for item in outcomes], expected, atol=1e-5)
    assert [item.tokens for item in outcomes] == [encoder.count_tokens([text]) for text in texts]


def test_a_deadline_that_passed_is_a_refusal_and_not_an_inference(encoder):
    (outcome,) = embed(encoder, ["late"], timeout=-1)
    assert isinstance(outcome, RefusalError)
    assert (outcome.status, outcome.headers) == (503, {"Retry-After": "1"})


def test_a_full_queue_refuses_and_says_when_to_come_back(encoder):
    async def run():
        batcher = Batcher(encoder, streams=1, batch_tokens=256, max_waiting=8, timeout=10)
        await batcher.start()
        try:
            batcher.submit(["one", "two", "three"], time.monotonic() + 10)
            batcher.submit(["four", "five", "six"], time.monotonic() + 10)
        finally:
            await batcher.close()

    with pytest.raises(RefusalError) as caught:
        asyncio.run(run())
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_what_never_fits_into_the_queue_is_no_reason_to_come_back(encoder):
    with pytest.raises(RefusalError) as caught:
        embed(encoder, ["one", "two"], max_waiting=1)
    assert (caught.value.status, caught.value.headers) == (422, {})


def leave_and_count(encoder: Encoder, leaving: int, staying: int) -> tuple[int, int]:
    """Texts that are inferred, and still counted, when one request leaves at once and another stays."""
    inferred = metrics.BATCH_TEXTS._sum.get()

    async def run() -> int:
        batcher = Batcher(encoder, streams=2, batch_tokens=256, max_waiting=5000, timeout=30)
        await batcher.start()
        gone = batcher.submit([f"gone {number} " + "array " * 25 for number in range(leaving)], time.monotonic() + 30)
        stays = batcher.submit([f"stays {number}" for number in range(staying)], time.monotonic() + 30)
        request = asyncio.create_task(batcher.wait(gone, time.monotonic() + 30))
        await asyncio.sleep(0)
        request.cancel()
        await batcher.wait(stays, time.monotonic() + 30)
        admitted = batcher.admitted
        await batcher.close()
        return admitted

    admitted = asyncio.run(run())
    return int(metrics.BATCH_TEXTS._sum.get() - inferred), admitted


def test_what_nobody_waits_for_is_not_inferred(encoder):
    inferred, admitted = leave_and_count(encoder, leaving=2000, staying=5)
    assert inferred < 300  # a slice of texts, and the batches that had begun
    assert admitted == 0


class HeldEncoder(Encoder):
    """An encoder that counts the texts that it tokenises, and infers only while it is let go."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.config, encoder._tokenizer, encoder._compiled)
        self.tokenized = 0
        self.let_go = threading.Event()
        self.let_go.set()

    def tokenize(self, texts):
        self.tokenized += len(texts)
        return super().tokenize(texts)

    def session(self):
        session = super().session()
        run = session.run

        def run_once_let_go(encodings):
            self.let_go.wait(30)
            return run(encodings)

        session.run = run_once_let_go
        return session


def test_a_large_request_is_tokenised_a_little_ahead_of_inference_and_a_small_one_at_once(encoder):
    held = HeldEncoder(encoder)

    async def run() -> list[int]:
        batcher = Batcher(held, streams=1, batch_tokens=256, max_waiting=10_000, timeout=60)
        await batcher.start()
        deadline = time.monotonic() + 60
        held.let_go.clear()
        held.tokenized = 0
        large = batcher.submit([f"large {number}" for number in range(5000)], deadline)
        await settled()
        ahead = held.tokenized
        small = batcher.submit(["small"], deadline)
        await settled()
        tokens = [ahead, small[0].length]
        held.let_go.set()
        await batcher.wait([*large, *small], deadline)
        await batcher.close()
        return [*tokens, held.tokenized]

    async def settled() -> None:
        before = -1
        while before != held.tokenized:
            before = held.tokenized
            await asyncio.sleep(0.3)

    ahead, small, finally_all = asyncio.run(run())
    assert 1024 <= ahead < 1200
    assert small > 2
    assert finally_all == 5001


def test_a_text_that_another_request_waits_for_stays(exported_tiny_model):
    async def run():
        served = await Served.open(exported_tiny_model, PredictorSettings(model_dir=exported_tiny_model, threads=1))
        texts = [f"shared {number} " + "array " * 20 for number in range(400)]
        leaving = asyncio.create_task(served.embed(texts, "document"))
        await asyncio.sleep(0)
        staying = asyncio.create_task(served.embed(texts[:50], "document"))
        await asyncio.sleep(0)
        leaving.cancel()
        embedded = await staying
        admitted = served._batcher.admitted
        await served.close()
        return embedded, admitted

    embedded, admitted = asyncio.run(run())
    expected = Encoder.open(exported_tiny_model).encode_documents(
        [f"shared {number} " + "array " * 20 for number in range(50)]
    )
    np.testing.assert_allclose([item.vector for item in embedded], expected, atol=1e-4)
    assert admitted == 0


def test_a_refused_request_leaves_what_it_had_joined(exported_tiny_model):
    async def run():
        settings = PredictorSettings(model_dir=exported_tiny_model, threads=1, max_waiting_texts=100)
        served = await Served.open(exported_tiny_model, settings)
        first = asyncio.create_task(served.embed([f"text {number}" for number in range(40)], "document"))
        await asyncio.sleep(0)
        with pytest.raises(RefusalError):
            await served.embed([f"text {number}" for number in range(90)], "document")
        first.cancel()
        await asyncio.wait([first])
        admitted = served._batcher.admitted
        await served.close()
        return admitted

    assert asyncio.run(run()) == 0


def test_close_gives_up_what_is_not_done_in_its_time(encoder):
    async def run():
        batcher = Batcher(encoder, streams=1, batch_tokens=64, max_waiting=5000, timeout=60)
        await batcher.start()
        items = batcher.submit([f"{number} " + "array " * 25 for number in range(4000)], time.monotonic() + 60)
        await batcher.close(within=0.0)
        return [item.outcome for item in items]

    outcomes = asyncio.run(run())
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefusalError)]
    assert refused
    assert {outcome.status for outcome in refused} == {503}


WORDS = st.lists(st.sampled_from(" ".join(TEXTS).split()), min_size=1, max_size=60).map(" ".join)


@settings(deadline=None, max_examples=30)
@given(text=WORDS, company=st.lists(WORDS, min_size=1, max_size=40))
def test_a_texts_embedding_does_not_depend_on_its_company(encoder, text, company):
    alone = encoder.encode_documents([text])[0]
    session = encoder.session()
    together = session.run(encoder.tokenize([text, *company]))[0]
    assert float(alone @ together) >= 1 - 1e-4


def test_the_served_answer_does_not_depend_on_what_is_asked_beside_it(client):
    body = {"query": "find the tree", "documents": ["a node of the tree in the graph", "sum of the values"]}
    alone = client.post("/find_similar", json=body).json()["score"]
    others = [{"query": f"q {n}", "documents": [f"{n} " * length for length in (1, 5, 20)]} for n in range(40)]
    with ThreadPoolExecutor(16) as pool:
        noise = [pool.submit(client.post, "/find_similar", json=other) for other in others]
        scores = [client.post("/find_similar", json=body).json()["score"] for _ in range(10)]
        assert all(future.result().status_code == 200 for future in noise)
    np.testing.assert_allclose(scores, alone, atol=1e-4)


def test_beyond_its_limit_the_server_says_429_and_recovers(exported_tiny_model, tmp_path):
    flags = ("--max_waiting_texts", "400", "--threads", "1", "--cache_megabytes", "0")
    with running(exported_tiny_model, tmp_path, *flags) as predictor:

        def ask(number: int) -> httpx.Response:
            documents = [f"{number} {n} " + "array " * 20 for n in range(300)]
            return httpx.post(f"{predictor.url}/find_similar", json={"query": "a", "documents": documents}, timeout=60)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, range(48)))
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert "400 may" in refused.json()["error"]
        assert ask(99).status_code == 200
        assert predictor.metric("ranklift_queue_texts") == 0


def test_a_request_beyond_its_time_is_given_up_with_503(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path, "--request_timeout", "0.005", "--threads", "1") as predictor:
        documents = [f"{n} " + "array " * 30 for n in range(1000)]
        answer = httpx.post(f"{predictor.url}/find_similar", json={"query": "a", "documents": documents}, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "0.005 s, the limit" in answer.json()["error"]
        wait_for(lambda: predictor.metric("ranklift_queue_texts") == 0)


def test_concurrent_requests_share_inferences(predictor, client):
    before = predictor.metric("ranklift_batch_texts_count"), predictor.metric("ranklift_batch_texts_sum")
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        for count in range(10):
            client.post("/find_similar", json={"query": f"{number} {count}", "documents": [f"shared {number} {count}"]})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    inferences = predictor.metric("ranklift_batch_texts_count") - before[0]
    texts = predictor.metric("ranklift_batch_texts_sum") - before[1]
    assert texts == 160
    assert inferences < texts

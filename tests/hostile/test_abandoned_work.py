"""Work that nobody waits for any more is not done, and a server that has to stop does not wait for it."""

import contextlib
import json
import signal
import time

import httpx
import pytest

from tests.hostile.conftest import TIMES
from tests.hostile.test_connections import HEAD
from tests.kserve.running import running, wait_for

DRAIN_TIMEOUT = float(TIMES[-1])


def large_request(number: int) -> bytes:
    documents = [f"{number} {text} " + "array graph " * 20 for text in range(1000)]
    body = json.dumps({"query": "sort", "documents": documents}).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_clients_that_leave_free_the_queue(survivor):
    for number in range(4):
        with survivor.connect() as client:
            client.sendall(large_request(number))
    wait_for(lambda: any(line.get("status") == 499 for line in survivor.log_lines()))
    wait_for(lambda: survivor.metric("ranklift_queue_texts") == 0)


def test_an_expired_grpc_deadline_frees_the_queue(survivor):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    from tests.hostile.test_bodies import grpc_request

    documents = [f"late {number} ".encode() + b"array graph " * 20 for number in range(1000)]
    with grpc.insecure_channel(survivor.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(grpc_request([1000], documents), timeout=0.02)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"
    wait_for(lambda: survivor.metric("ranklift_queue_texts") == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_server_within_the_drain_timeout_whatever_clients_do(
    exported_tiny_model, tmp_path, memory_limit, number
):
    flags = ("--drain_timeout", "4", "--body_timeout", "60", "--write_timeout", "60", "--cache_megabytes", "0")
    with running(exported_tiny_model, tmp_path, *flags, memory_limit=memory_limit) as predictor:
        held = [predictor.connect() for _ in range(40)]
        for client in held[:10]:
            client.sendall(b"GET / HT")
        for client in held[10:20]:
            client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        for client in held[20:22]:
            client.sendall(large_request(7))
        sent = time.monotonic()
        assert predictor.stop(number) == 0
        ended = time.monotonic() - sent
        for client in held:
            with contextlib.suppress(OSError):
                client.close()
    assert (
        ended < 20
    )  # the drain timeout is 4 s, and a busy machine takes its time; without it, clients hold on for 60 s


def test_after_all_of_it_a_signal_still_ends_the_server(exported_tiny_model, tmp_path, memory_limit):
    with running(exported_tiny_model, tmp_path, *TIMES, memory_limit=memory_limit) as predictor:
        for number in range(3):
            with predictor.connect() as client:
                client.sendall(large_request(number))
        assert httpx.get(f"{predictor.url}/v2/health/live", timeout=30).status_code == 200
        assert predictor.stop() == 0

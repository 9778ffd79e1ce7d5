"""Faults that nobody foresaw: an answer through the same gate, a line in the log, nothing of the user's, no leak."""

import json

import httpx
import pytest

from tests.kserve.conftest import TEXTS
from tests.kserve.http.test_http import read_answer
from tests.kserve.panics import PANIC
from tests.kserve.running import running, wait_for

MARKER = "tangerine-zeppelin"
BODY = json.dumps({"text": MARKER}).encode()


@pytest.fixture(scope="module")
def broken(exported_tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    program = ("-m", "tests.kserve.broken_predictor")
    with running(exported_tiny_model, folder, "--drain_timeout", "5", program=program) as predictor:
        yield predictor


def lines_of(predictor, request_id: str) -> list[dict]:
    return [line for line in predictor.log_lines() if line.get("request_id") == request_id]


@pytest.mark.parametrize("path", ["/broken", "/broken/panic"], ids=["an exception", "a panic"])
def test_a_failure_is_answered_through_the_gate(broken, path):
    request_id = f"failed{path.replace('/', '-')}"
    answer = httpx.post(broken.url + path, content=BODY, headers={"X-Request-ID": request_id})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == request_id
    assert {"x-content-type-options", "x-ranklift-model-version", "content-security-policy"} <= answer.headers.keys()
    assert MARKER not in answer.text
    wait_for(lambda: lines_of(broken, request_id))
    (line,) = lines_of(broken, request_id)
    assert (line["route"], line["status"]) == (path, 500)
    assert any("broken_predictor.py" in line.get("traceback", "") for line in broken.log_lines())
    assert MARKER not in broken.log.read_text()
    assert f'ranklift_requests_total{{route="{path}",status="500"}}' in httpx.get(f"{broken.url}/metrics").text


def test_a_failure_says_that_the_connection_closes(broken):
    with broken.connect() as client:
        head = b"POST /broken HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        client.sendall(head + BODY)
        assert read_answer(client)[0] == 500
        assert client.recv(1000) == b""


def test_a_failure_halfway_ends_the_connection_and_is_in_the_log(broken):
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{broken.url}/broken/halfway", content=BODY)
    wait_for(lambda: any(line.get("route") == "/broken/halfway" for line in broken.log_lines()))
    assert MARKER not in broken.log.read_text()
    assert httpx.get(f"{broken.url}/v2/health/live").status_code == 200


def test_a_panic_of_the_tokenizer_is_a_500_that_leaks_no_place_in_the_queue(broken):
    for _ in range(3):
        body = {"query": f"{PANIC} {MARKER}", "documents": TEXTS}
        answer = httpx.post(f"{broken.url}/find_similar", json=body, timeout=30)
        assert answer.status_code == 500
        assert MARKER not in answer.text
    assert broken.metric("ranklift_queue_texts") == 0
    answer = httpx.post(f"{broken.url}/find_similar", json={"query": "sort", "documents": TEXTS}, timeout=30)
    assert answer.status_code == 200
    assert MARKER not in broken.log.read_text()


def test_after_a_panic_a_signal_still_ends_the_server(exported_tiny_model, tmp_path):
    program = ("-m", "tests.kserve.broken_predictor")
    with running(exported_tiny_model, tmp_path, "--drain_timeout", "5", program=program) as predictor:
        httpx.post(f"{predictor.url}/find_similar", json={"query": PANIC, "documents": TEXTS}, timeout=30)
        assert predictor.stop() == 0


def test_grpc_answers_a_failure_with_a_status_and_counts_it(broken):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    from tests.hostile.test_bodies import grpc_request

    with grpc.insecure_channel(broken.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        stub = GRPCInferenceServiceStub(channel)
        stub.ModelInfer(grpc_request([1], [f"{PANIC} {MARKER}".encode()]), timeout=30)
    assert caught.value.code().name == "INTERNAL"
    assert MARKER not in caught.value.details()
    assert {"x-request-id", "x-ranklift-model-version"} <= dict(caught.value.trailing_metadata()).keys()
    route = 'route="/inference.GRPCInferenceService/ModelInfer",status="INTERNAL"'
    assert route in httpx.get(f"{broken.url}/metrics").text
    assert MARKER not in broken.log.read_text()

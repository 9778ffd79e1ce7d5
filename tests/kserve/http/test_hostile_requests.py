"""Requests that nobody should send: generated from the API's own document, odd texts, slow and greedy clients."""

import json
import socket
import string
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predictor.http.json_scan import MAX_DIGITS, JsonScan
from tests.kserve.conftest import TEXTS
from tests.kserve.running import running, wait_for

BODY = {"query": "sort", "documents": TEXTS}


OPERATIONS = [
    "POST /find_similar",
    "POST /search",
    "POST /v1/embeddings",
    "POST /v1/rerank",
    "POST /v2/rerank",
    "POST /v1/embed",
    "POST /v2/embed",
    "POST /embed",
    "POST /rerank",
    "POST /similarity",
    "POST /score",
    "POST /v1/models/{model_name}:predict",
    "POST /v2/models/{model_name}/infer",
    "POST /v2/repository/index",
    "POST /v2/repository/models/{model_name}/load",
    "GET /index",
    "GET /info",
    "GET /health",
    "GET /v1/models",
    "GET /v1/models/{model_name}",
    "GET /v2",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/models",
    "GET /v2/models/{model_name}",
    "GET /v2/models/{model_name}/ready",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def operations(predictor) -> dict:
    api = schemathesis.openapi.from_url(f"{predictor.url}/openapi.json")
    return {operation.label: operation for operation in (result.ok() for result in api.get_all_operations())}


def test_the_document_has_these_operations(operations):
    assert sorted(operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_generated_request_gets_a_5xx_or_an_undocumented_answer(operations, label):
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operations[label].as_strategy())
    def ask(case):
        checks = schemathesis.checks
        case.call_and_validate(
            checks=[
                checks.not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ]
        )

    ask()


ODD = {
    "empty": "",
    "a megabyte": "a" * (1 << 20),
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈" * 50,
    "right to left": "\u202e\u0645\u0631\u062d\u0628\u0627\u202c \u05e9\u05dc\u05d5\u05dd",
    "NUL": "a\x00b\x00",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "a lone surrogate": "a\ud800b",
    "a surrogate pair in escapes": "\ud83d\ude00",
    "combining marks": "e" + "\u0301" * 5000,
    "whitespace of every kind": "\u00a0\u2003\u3000\ufeff\u200b\r\n\t",
    "one long word": "x" * 50_000,
    "noncharacters": "\ufffe\uffff\U0010ffff",
}
PATHS = {
    "/find_similar": lambda text: {"query": text, "documents": [text, "b"], "return_documents": True},
    "/v1/models/ranklift:predict": lambda text: {"instances": [{"query": text, "documents": [text]}]},
    "/v1/embeddings": lambda text: {"input": [text]},
    "/v1/rerank": lambda text: {"query": text, "documents": [text], "return_documents": True},
    "/v2/models/ranklift/infer": lambda text: {
        "inputs": [
            {"name": "query", "shape": [1], "datatype": "BYTES", "data": [text]},
            {"name": "documents", "shape": [1], "datatype": "BYTES", "data": [text]},
        ]
    },
}


def send(client, path: str, text: str) -> httpx.Response:
    body = json.dumps(PATHS[path](text))
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_odd_text_is_answered_or_refused_in_one_sentence(client, path, text):
    answer = send(client, path, text)
    assert answer.status_code in {200, 400, 422}
    assert answer.status_code == 200 or answer.json()["error"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=()), max_size=200), path=st.sampled_from(list(PATHS)))
def test_no_text_brings_a_5xx(client, text, path):
    assert send(client, path, text).status_code in {200, 400, 422}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), path=st.sampled_from([*PATHS, "/v2/models/ranklift/infer"]))
def test_no_bytes_bring_a_5xx(client, content, path):
    for kind in ("application/json", "application/octet-stream", "application/cloudevents+json"):
        answer = client.post(path, content=content, headers={"Content-Type": kind, "ce-id": "1"})
        assert 400 <= answer.status_code < 500


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(string.printable, max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text('ab[]{}\\"', max_size=3), children),
)


def scan(body: bytes, limit: int, size: int) -> JsonScan:
    """A scan of a text that comes in pieces of some size."""
    made = JsonScan(limit, 10**9)
    for start in range(0, len(body), size):
        if not made.feed(body[start : start + size]):
            break
    return made


@given(JSON_VALUES, st.integers(1, 50))
def test_nesting_is_that_of_brackets_outside_strings_however_the_text_is_cut(value, size):
    def depth(item) -> int:
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    body, deepest = json.dumps([value] * 3).encode(), depth([value] * 3)
    assert not scan(body, deepest, size).too_deep
    assert scan(body, deepest - 1, size).too_deep


@given(JSON_VALUES, st.integers(1, 50))
def test_values_are_counted_at_least_once_and_not_in_strings(value, size):
    def count(item) -> int:
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        return 1 + sum(map(count, children))

    body = json.dumps(value).encode()
    assert count(value) <= scan(body, 10**9, size).values <= 2 * count(value)


@pytest.mark.parametrize("size", [1, 7, 640, 1 << 20], ids="pieces of {} bytes".format)
@pytest.mark.parametrize("before", [0, 100, 16_000], ids="after {} spaces".format)
def test_digits_of_a_number_are_counted_however_the_text_is_cut(before, size):
    def body(digits: int) -> bytes:
        return b" " * before + b'["' + b"1" * 2000 + b'", 1.5, -' + b"7" * digits + b", 12]"

    assert not scan(body(MAX_DIGITS), 32, size).too_many_digits
    assert scan(body(MAX_DIGITS + 1), 32, size).too_many_digits


@pytest.mark.parametrize("path", [*PATHS, "/search", "/v2/rerank", "/embed"])
def test_a_number_with_thousands_of_digits_is_refused(client, path):
    content = b'{"query": "a", "top_k": ' + b"1" * 4300 + b"}"
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert f"more than {MAX_DIGITS} digits" in answer.text


def test_a_number_beyond_64_bits_is_a_whole_number(client):
    assert client.post("/find_similar", json={**BODY, "top_k": 10**300}).status_code == 200


QUOTES = {
    "escaped quotes outside a string": b'\\"' * 2_000_000,
    "a string that nobody closes": b'"' + b'\\"' * 2_000_000,
    "that ends in a backslash": b'"' + b'\\"' * 2_000_000 + b"\\",
    "backslashes without a quote": b'"' + b"\\" * 4_000_000,
    "empty strings": b'""' * 2_000_000,
}


@pytest.mark.parametrize("quotes", QUOTES.values(), ids=QUOTES)
def test_quotes_cost_one_pass_where_a_search_that_goes_back_takes_hours(quotes):
    assert not scan(b"[]" * 40 + quotes, 32, 1 << 16).too_deep


@pytest.fixture(scope="module")
def impatient(exported_tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("impatient")
    with running(exported_tiny_model, folder, "--body_timeout", "1") as predictor:
        yield predictor


def connect(predictor) -> socket.socket:
    host, port = predictor.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 30)


HEAD = b"POST /find_similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = {
    "says nothing": (b"", b""),
    "half a head": (b"POST /find_simi", b""),
    "a head that never ends": (HEAD, b""),
    "half a body": (HEAD + b"Content-Length: 1000\r\n\r\n" + b'{"query"', b"408"),
}


@pytest.mark.parametrize(("sent", "answer"), SLOW.values(), ids=SLOW)
def test_a_slow_client_is_let_go(impatient, sent, answer):
    with connect(impatient) as slow:
        slow.sendall(sent)
        received = b""
        while chunk := slow.recv(65536):
            received += chunk
    assert answer in received


def test_many_slow_clients_do_not_keep_others_waiting(impatient):
    slow = [connect(impatient) for _ in range(200)]
    try:
        for client in slow:
            client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.post(f"{impatient.url}/find_similar", json=BODY), range(40)))
        assert {answer.status_code for answer in answers} == {200}
    finally:
        for client in slow:
            client.close()


def test_an_endless_head_is_cut_off(impatient):
    with connect(impatient) as greedy:
        greedy.sendall(HEAD)
        with pytest.raises(OSError):
            for number in range(10_000):
                greedy.sendall(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
    assert httpx.post(f"{impatient.url}/find_similar", json=BODY).status_code == 200


def test_a_client_that_leaves_early_costs_nothing(impatient):
    for _ in range(20):
        with connect(impatient) as leaving:
            body = json.dumps(BODY).encode()
            leaving.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    wait_for(lambda: impatient.metric("ranklift_queue_texts") == 0)
    assert httpx.post(f"{impatient.url}/find_similar", json=BODY).status_code == 200
    assert "Traceback" not in impatient.log.read_text()

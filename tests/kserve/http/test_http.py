"""What HTTP clients send beside the body: upgrades, media types, HEAD, compression, origins; over keep-alive too."""

import gzip
import json
import shutil
import socket
import subprocess

import httpx
import pytest

from tests.kserve.conftest import TEXTS
from tests.kserve.running import RunningPredictor, running, wait_for

BODY = json.dumps({"query": "sort", "documents": TEXTS}).encode()
# What HttpClient of Java 17 sends when nobody chose a version of HTTP, byte for byte.
JAVA = (
    b"%s %s HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\nHost: localhost:8080\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\nContent-Type: application/json\r\n\r\n%s"
)
ROUTES = {
    "/find_similar": {"query": "sort", "documents": TEXTS},
    "/v1/models/ranklift:predict": {"instances": [{"query": "sort", "documents": TEXTS}]},
    "/v2/models/ranklift/infer": {
        "inputs": [
            {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["sort"]},
            {"name": "documents", "shape": [len(TEXTS)], "datatype": "BYTES", "data": TEXTS},
        ]
    },
    "/v1/embeddings": {"input": TEXTS},
    "/v1/rerank": {"query": "sort", "documents": TEXTS},
    "/v2/rerank": {"query": "sort", "documents": TEXTS},
    "/v1/embed": {"texts": TEXTS},
    "/v2/embed": {"texts": TEXTS},
    "/embed": {"inputs": TEXTS},
    "/rerank": {"query": "sort", "texts": TEXTS},
    "/similarity": {"inputs": {"source_sentence": "sort", "sentences": TEXTS}},
    "/score": {"text_1": "sort", "text_2": TEXTS},
    "/v2/repository/index": {"ready": True},
    "/v2/repository/models/ranklift/load": {"parameters": {}},
}


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    """One answer with a length: its status and its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = [int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")]
    while len(body) < length:
        body += client.recv(65536)
    return int(head[9:12]), body


@pytest.mark.parametrize("path", ROUTES)
def test_a_request_that_asks_for_http_2_is_answered_as_the_one_that_does_not(predictor, client, path):
    body = json.dumps(ROUTES[path]).encode()
    expected = client.post(path, content=body, headers={"Content-Type": "application/json"})
    with predictor.connect() as java:
        for _ in range(3):
            java.sendall(JAVA % (b"POST", path.encode(), len(body), body))
            status, answer = read_answer(java)
            assert status == expected.status_code == 200
            assert json.loads(answer).__class__ is expected.json().__class__
            assert len(answer) == pytest.approx(len(expected.content), rel=0.05)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [(b"GET", b"/v1/models", 200), (b"DELETE", b"/find_similar", 405), (b"PUT", b"/nothing", 404)],
    ids=["GET", "DELETE", "PUT"],
)
def test_every_method_survives_an_upgrade(predictor, method, path, status):
    with predictor.connect() as java:
        for _ in range(2):
            java.sendall(JAVA % (method, path, 0, b""))
            assert read_answer(java)[0] == status


def test_an_upgrade_in_pieces_keeps_its_body(predictor):
    request = JAVA % (b"POST", b"/find_similar", len(BODY), BODY)
    with predictor.connect() as java:
        for start in range(0, len(request), 50):
            java.sendall(request[start : start + 50])
        status, answer = read_answer(java)
    assert (status, json.loads(answer)["index"]) == (200, 0)


def test_a_chunked_body_survives_an_upgrade(predictor):
    head = (
        b"POST /find_similar HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with predictor.connect() as client:
        client.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert read_answer(client)[0] == 200


def test_upgrades_that_are_sent_at_once_are_answered_in_order(predictor):
    with predictor.connect() as java:
        java.sendall(b"".join(JAVA % (b"GET", path, 0, b"") for path in (b"/v1/models", b"/nothing", b"/v2")))
        received = b""
        while received.count(b"HTTP/1.1 ") < 3:
            received += java.recv(65536)
    assert [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


def test_a_tunnel_is_refused(predictor):
    with predictor.connect() as client:
        client.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        assert read_answer(client)[0] == 405


# What curl 7.88 sends with --http2, byte for byte.
CURL = (
    b"POST /find_similar HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)


def test_curl_asks_with_http_2(predictor):
    with predictor.connect() as client:
        client.sendall(CURL % (len(BODY), BODY))
        status, answer = read_answer(client)
    assert (status, json.loads(answer)["index"]) == (200, 0)
    if curl := shutil.which("curl"):  # the program itself, where this machine has it
        command = [curl, "--silent", "--http2", f"{predictor.url}/find_similar", "--data", BODY.decode()]
        asked = subprocess.run(
            [*command, "--header", "Content-Type: application/json"], capture_output=True, check=True, timeout=30
        )
        assert json.loads(asked.stdout)["index"] == 0


JSON_TYPES = [
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "application/vnd.api+json",
    None,
]
OTHER_TYPES = ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "json", "a/b/c"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", JSON_TYPES, ids=str)
def test_json_is_accepted_however_its_type_is_spelt(client, path, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.post(path, content=json.dumps(ROUTES[path]).encode(), headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_another_type_is_refused_with_what_is_accepted(client, path, kind):
    answer = client.post(path, content=json.dumps(ROUTES[path]).encode(), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.text
    assert answer.headers["accept"] == "application/json"


def optional_fields(schema: dict) -> list[str]:
    return sorted(schema.get("properties", {}).keys() - set(schema.get("required", ())))


@pytest.mark.parametrize("path", [path for path in ROUTES if not path.startswith(("/v1/models/", "/v2/models/"))])
def test_null_is_not_set_in_every_optional_field(predictor, client, path):
    document = httpx.get(f"{predictor.url}/openapi.json").json()
    operation = document["paths"].get(path, {}).get("post", {})
    reference = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = document["components"]["schemas"].get(reference.get("$ref", "").rpartition("/")[2], {})
    body = {**dict.fromkeys([*optional_fields(schema), "a_field_of_tomorrow"]), **ROUTES[path]}
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text


def test_null_is_not_set_in_v1_and_v2(client):
    instance = {"query": "sort", "documents": TEXTS, "top_k": None, "return_documents": None, "model": None}
    answer = client.post("/v1/models/ranklift:predict", json={"instances": [instance], "parameters": None})
    assert answer.status_code == 200, answer.text
    tensors = [{**tensor, "parameters": None} for tensor in ROUTES["/v2/models/ranklift/infer"]["inputs"]]
    body = {"id": None, "inputs": tensors, "outputs": None, "parameters": None}
    answer = client.post("/v2/models/ranklift/infer", json=body)
    assert answer.status_code == 200, answer.text


GETS = ["/", "/docs", "/openapi.json", "/v1/models", "/v1/models/ranklift", "/v2", "/v2/models", "/v2/models/ranklift"]
GETS += ["/v2/health/live", "/v2/health/ready", "/v2/models/ranklift/ready", "/metrics", "/info", "/health"]


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"] if "content-type" in got.headers else True


def test_a_gzip_body_is_read(client):
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = client.post("/find_similar", content=gzip.compress(BODY), headers=headers)
    assert (answer.status_code, answer.json()["index"]) == (200, 0)


def test_an_encoding_that_is_not_read_is_refused_with_those_that_are(client):
    answer = client.post("/find_similar", content=BODY, headers={"Content-Encoding": "br"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")


HOSTS = {
    "localhost": 200,
    "127.0.0.1:8080": 200,
    "[::1]:8080": 200,
    "ranklift.localhost": 200,
    "rebound.example.com": 421,
    "127.0.0.1.example.com": 421,
}


@pytest.mark.parametrize(("host", "status"), HOSTS.items(), ids=HOSTS)
def test_on_loopback_only_this_machines_names_are_answered_for(client, host, status):
    answer = client.get("/v1/models", headers={"Host": host})
    assert answer.status_code == status


def test_a_page_of_another_site_cannot_ask(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert client.post("/find_similar", content=BODY, headers=headers).status_code == 403
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=headers).headers


@pytest.fixture(scope="module")
def open_to_a_site(exported_tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cors")
    flags = ("--cors_origins", "https://shop.example, https://other.example", "--allowed_hosts", "search.internal")
    with running(exported_tiny_model, folder, *flags, RANKLIFT_PREDICTOR_API_TOKEN="of-a-test") as predictor:
        yield predictor


def test_a_page_of_an_allowed_site_asks_and_reads(open_to_a_site: RunningPredictor):
    url, origin = f"{open_to_a_site.url}/find_similar", {"Origin": "https://shop.example"}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = httpx.options(url, headers={**origin, **asking})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    headers = {**origin, "Authorization": "Bearer of-a-test", "Sec-Fetch-Site": "cross-site"}
    answer = httpx.post(url, content=BODY, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert "X-Ranklift-Model-Version" in answer.headers["access-control-expose-headers"]
    refused = httpx.post(url, content=BODY, headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://shop.example")


def test_another_site_and_another_name_of_the_host(open_to_a_site: RunningPredictor):
    url, token = f"{open_to_a_site.url}/v1/models", {"Authorization": "Bearer of-a-test"}
    evil = {**token, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert "access-control-allow-origin" not in httpx.get(url, headers=evil).headers
    assert httpx.post(f"{open_to_a_site.url}/find_similar", content=BODY, headers=evil).status_code == 403
    assert httpx.get(url, headers={**token, "Host": "search.internal:8080"}).status_code == 200


@pytest.mark.parametrize("megabytes", [5, 60])
@pytest.mark.parametrize("chunked", [False, True], ids=["of a stated length", "in chunks"])
def test_a_client_that_sends_too_much_reads_why_it_is_refused(predictor, megabytes, chunked):
    body = b" " * (megabytes << 20)
    for _ in range(3):
        content = iter([body[: 1 << 20], body[1 << 20 :]]) if chunked else body
        assert httpx.post(f"{predictor.url}/find_similar", content=content, timeout=30).status_code == 413


def test_a_client_that_waits_to_be_told_to_send_is_refused_at_once(predictor):
    with predictor.connect() as client:
        head = b"POST /find_similar HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        client.sendall(head + b"Content-Length: 5000000\r\n\r\n")
        assert read_answer(client)[0] == 413


def test_what_is_no_http_is_refused_with_an_id_and_in_the_log(predictor):
    with predictor.connect() as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tangerine-zeppelin\r\n\r\n")
        status, answer = read_answer(client)
    request_id = json.loads(answer)["request_id"]
    assert status == 400
    wait_for(lambda: any(line.get("request_id") == request_id for line in predictor.log_lines()))
    assert "tangerine" not in predictor.log.read_text()

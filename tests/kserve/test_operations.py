"""What operators and API users read: metrics, log lines, and the OpenAPI document."""

import socket
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from components.model.served import EncoderConfig
from tests.kserve.conftest import TEXTS
from tests.kserve.running import RunningPredictor, command, running

BODY = {"query": "sort", "documents": TEXTS}

METRICS = [
    "ranklift_requests_total",
    "ranklift_request_seconds_bucket",
    "ranklift_queue_texts",
    "ranklift_queue_wait_seconds_bucket",
    "ranklift_batch_texts_bucket",
    "ranklift_batch_tokens_bucket",
    "ranklift_inference_seconds_bucket",
    "ranklift_cache_hits_total",
    "ranklift_cache_misses_total",
    "ranklift_cache_bytes",
    "ranklift_cache_entries",
    "ranklift_model_info",
    "ranklift_model_switches_total",
]


@pytest.fixture(scope="module")
def metrics(client, predictor) -> str:
    client.post("/find_similar", json=BODY).raise_for_status()
    client.post("/find_similar", json={})
    return httpx.get(f"{predictor.url}/metrics").text


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_there(metrics, name):
    assert any(line.startswith(name) for line in metrics.splitlines())


def test_requests_are_counted_by_route_and_status(metrics):
    for status in (200, 422):
        assert f'ranklift_requests_total{{route="/find_similar",status="{status}"}}' in metrics


def test_the_model_is_an_info_metric(metrics, exported_tiny_model):
    (line,) = [line for line in metrics.splitlines() if line.startswith("ranklift_model_info{")]
    assert f'digest="{EncoderConfig.of(exported_tiny_model).digest}"' in line
    assert 'precision="' in line


def test_paths_that_do_not_exist_make_no_new_series(client, predictor):
    for number in range(20):
        client.get(f"/made/up/{number}")
    text = httpx.get(f"{predictor.url}/metrics").text
    assert "made" not in text
    assert 'ranklift_requests_total{route="other",status="404"}' in text


def test_each_request_is_one_log_line_with_its_id(client, predictor):
    client.post("/find_similar", json=BODY, headers={"X-Request-ID": "operations-1"})
    (line,) = [line for line in predictor.log_lines() if line.get("request_id") == "operations-1"]
    assert (line["route"], line["status"], line["method"]) == ("/find_similar", 200, "POST")
    assert line["milliseconds"] > 0


@pytest.fixture(scope="module")
def document(predictor) -> dict:
    return httpx.get(f"{predictor.url}/openapi.json").json()


OWN = ["/find_similar", "/v1/embeddings", "/v1/rerank", "/v1/models/{model_name}:predict"]


@pytest.mark.parametrize("path", OWN)
def test_a_route_documents_an_example_and_every_error(document, path):
    operation = document["paths"][path]["post"]
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} <= operation["responses"].keys()
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    assert schema["example"]


@pytest.mark.parametrize("path", OWN)
def test_the_example_of_a_route_works(document, client, path):
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    answer = client.post(path.format(model_name="ranklift"), json=schema["example"])
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def in_a_cluster(exported_tiny_model, tmp_path_factory) -> Iterator[tuple[RunningPredictor, str]]:
    """A predictor with the flags that kserve/inference-service.yaml has, and where its metrics are."""
    flags = (f"--metrics_port={free_port()}", "--pages=false")
    with running(exported_tiny_model, tmp_path_factory.mktemp("in-a-cluster"), *flags) as started:
        (ready,) = [line for line in started.log_lines() if line["message"] == "ready"]
        yield started, f"http://{ready['listening']['metrics']}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_metrics_port_serves_the_metrics_and_nothing_else(in_a_cluster):
    predictor, metrics = in_a_cluster
    httpx.post(f"{predictor.url}/find_similar", json=BODY).raise_for_status()
    answer = httpx.get(f"{metrics}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'ranklift_requests_total{route="/find_similar",status="200"}' in answer.text
    for path in ("/", "/find_similar", "/v2/health/ready", "/docs", "/openapi.json"):
        assert httpx.get(f"{metrics}{path}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/metrics", "/docs", "/openapi.json", "/page/page.js", "/docs/files/swagger-ui.css", "/redoc"]
)
def test_routed_port_without_pages_has_nothing_for_people(in_a_cluster, path):
    predictor, _ = in_a_cluster
    assert httpx.get(f"{predictor.url}{path}", headers={"Accept": "text/html"}).status_code == 404


def test_routed_port_without_pages_gives_a_sign_of_life(in_a_cluster):
    predictor, _ = in_a_cluster
    answer = httpx.get(predictor.url, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert httpx.get(f"{predictor.url}/v2/health/ready").status_code == 200


def test_metrics_port_that_is_taken_is_one_sentence_that_names_it(exported_tiny_model):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        flags = command(exported_tiny_model, f"--metrics_port={port}")
        ended = subprocess.run(flags, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port} for the metrics" in ended.stderr
    assert "give another --metrics_port" in ended.stderr

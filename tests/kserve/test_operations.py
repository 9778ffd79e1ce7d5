"""What operators and API users read: metrics, log lines, and the OpenAPI document."""

import httpx
import pytest

from components.served_model import EncoderConfig
from tests.kserve.conftest import TEXTS

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

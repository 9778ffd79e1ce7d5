"""Every answer names the model that gave it, and a request may demand one: vectors of two models never mix."""

import shutil

import httpx
import openai
import pytest

from components.model.served import EncoderConfig
from tests.kserve.conftest import TEXTS
from tests.kserve.http.test_http import ROUTES
from tests.kserve.running import running

VERSION = "x-ranklift-model-version"
DIGEST = "x-ranklift-model-digest"
WITHOUT_A_PLACE = {"/embed", "/rerank", "/similarity", "/v2/repository/index"}  # their answers are bare lists


@pytest.fixture(scope="module")
def v3(exported_tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    shutil.copytree(exported_tiny_model, folder / "V3")
    with running(folder / "V3", folder) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def digest(exported_tiny_model) -> str:
    return EncoderConfig.of(exported_tiny_model).digest


@pytest.mark.parametrize("path", ROUTES)
def test_an_answer_names_version_and_digest_in_headers_and_where_it_can_in_the_body(v3, digest, path):
    answer = httpx.post(v3.url + path, json=ROUTES[path], timeout=30)
    assert (answer.headers[VERSION], answer.headers[DIGEST]) == ("V3", digest)
    if path not in WITHOUT_A_PLACE:
        assert '"V3"' in answer.text
        assert digest in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/models", 200), ("/nothing", 404), ("/v2/health/ready", 200), ("/metrics", 200)],
    ids=["models", "nothing", "a probe", "metrics"],
)
def test_whatever_else_is_answered_names_them_in_its_headers(v3, digest, path, status):
    answer = httpx.get(v3.url + path)
    assert (answer.status_code, answer.headers[VERSION], answer.headers[DIGEST]) == (status, "V3", digest)


def test_a_refusal_names_them_too(v3):
    answer = httpx.post(f"{v3.url}/find_similar", content=b"{", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.headers[VERSION]) == (415, "V3")


WITH_A_MODEL = ["/find_similar", "/v1/embeddings", "/v1/rerank", "/v2/rerank", "/v1/embed", "/v2/embed", "/score"]


@pytest.mark.parametrize("path", WITH_A_MODEL)
@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("ranklift@V3", 200),
        ("openai/ranklift@V3", 200),
        ("text-embedding-3-small", 200),
        ("ranklift@V2", 409),
        ("ranklift@", 409),
        ("ranklift@tangerine zeppelin", 409),
        ("other@V3", 404),
    ],
    ids=["this version", "behind a provider", "any name", "another version", "no version", "no name", "another model"],
)
def test_a_version_that_is_demanded_is_served_or_refused(v3, path, model, status):
    answer = httpx.post(v3.url + path, json={**ROUTES[path], "model": model}, timeout=30)
    assert answer.status_code == status
    assert "tangerine" not in answer.text
    if model == "ranklift@V2":
        assert "V2" in answer.text
        assert "V3" in answer.text


def test_a_digest_may_be_demanded(v3, digest):
    body = {"input": TEXTS}
    for version, status in ((digest, 200), (digest[::-1], 409)):
        answer = httpx.post(f"{v3.url}/v1/embeddings", json={**body, "model": f"ranklift@{version}"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/ranklift@{}:predict", ROUTES["/v1/models/ranklift:predict"]),
        ("/v2/models/ranklift/versions/{}/infer", ROUTES["/v2/models/ranklift/infer"]),
    ],
    ids=["v1", "v2"],
)
def test_kserves_protocols_demand_a_version_in_the_path(v3, path, body):
    assert httpx.post(v3.url + path.format("V3"), json=body, timeout=30).status_code == 200
    refused = httpx.post(v3.url + path.format("V2"), json=body, timeout=30)
    assert (refused.status_code, "V2" in refused.json()["error"]) == (409, True)


def test_openais_client_demands_a_version_and_hears_which_one_serves(v3, digest):
    with openai.OpenAI(base_url=f"{v3.url}/v1", api_key="none", max_retries=0) as sdk:
        answer = sdk.embeddings.create(model="ranklift@V3", input=TEXTS)
        assert (answer.model_extra["model_version"], answer.model_extra["model_digest"]) == ("V3", digest)
        with pytest.raises(openai.ConflictError, match="V2 of ranklift, and V3"):
            sdk.embeddings.create(model="ranklift@V2", input=TEXTS)
        assert sdk.models.retrieve("ranklift@V3").id == "ranklift"
        with pytest.raises(openai.ConflictError):
            sdk.models.retrieve("ranklift@V2")
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("gpt-5")


def test_grpc_names_them_in_the_message_and_in_the_trailers(v3, digest):
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    from tests.hostile.test_bodies import grpc_request

    with grpc.insecure_channel(v3.grpc) as channel:
        answer, call = GRPCInferenceServiceStub(channel).ModelInfer.with_call(grpc_request([1], [b"a"]), timeout=30)
    assert (answer.model_version, answer.parameters["model_digest"].string_param) == ("V3", digest)
    trailers = dict(call.trailing_metadata())
    assert (trailers[VERSION], trailers[DIGEST]) == ("V3", digest)

"""The champion behind the gateway: every protocol, both schemes, by name and by Host header."""

import json

import pytest

from tests.cluster.conftest import NAME, SERVING
from tests.cluster.gateway import QUESTION, Gateway
from tests.cluster.kubectl import Kubectl

PAIR = [QUESTION["query"], QUESTION["documents"][0]]
V2 = {
    "inputs": [
        {"name": "query", "datatype": "BYTES", "shape": [1], "data": [QUESTION["query"]]},
        {"name": "documents", "datatype": "BYTES", "shape": [2], "data": QUESTION["documents"]},
    ]
}
REQUESTS = [
    pytest.param("/find_similar", QUESTION, lambda answer: answer["ranking"], id="find_similar"),
    pytest.param(
        f"/v1/models/{NAME}:predict", {"instances": [QUESTION]}, lambda answer: answer["predictions"], id="v1"
    ),
    pytest.param(f"/v2/models/{NAME}/infer", V2, lambda answer: answer["outputs"], id="v2"),
    pytest.param("/v1/embeddings", {"model": NAME, "input": PAIR}, lambda answer: answer["data"], id="openai"),
    pytest.param(
        "/v1/rerank",
        {"model": NAME, "query": QUESTION["query"], "documents": QUESTION["documents"]},
        lambda answer: answer["results"],
        id="rerank",
    ),
]


@pytest.mark.usefixtures("service")
class TestProtocols:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(("path", "body", "part"), REQUESTS)
    def test_curl_through_the_gateway_is_answered(self, gateway: Gateway, path, body, part, scheme):
        status, answer = gateway.curl(path, body=body, scheme=scheme)
        assert status == 200, answer
        assert len(part(answer)) >= 1

    @pytest.mark.parametrize(("path", "body", "part"), REQUESTS)
    def test_the_same_question_has_the_same_answer_on_every_scheme(self, gateway: Gateway, path, body, part):
        plain, encrypted = (gateway.curl(path, body=body, scheme=scheme)[1] for scheme in ("http", "https"))
        assert part(plain) == part(encrypted)

    def test_curl_with_a_host_header_is_answered(self, gateway: Gateway):
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=20)
        headers = {"Host": gateway.host, "Content-Type": "application/json"}
        connection.request("POST", "/find_similar", json.dumps(QUESTION), headers)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["model_version"]) == (200, "V0")

    def test_curl_for_another_host_is_not_found(self, gateway: Gateway):
        status, _ = gateway.curl("/find_similar", "--header", "Host: nobody.localhost", body=QUESTION)
        assert status == 404

    @pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json"])
    def test_what_is_for_operators_is_not_routed(self, gateway: Gateway, path):
        status, answer = gateway.curl(path)
        assert status in {403, 404}, answer


class TestTheInferenceService:
    def test_its_pods_run_under_pod_security_restricted(self, kubectl: Kubectl, service):
        labels = kubectl.json("get", "namespace", SERVING)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        (pod,) = kubectl.items("pod", SERVING, f"serving.kserve.io/inferenceservice={NAME}")
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True

    def test_it_names_the_version_with_a_trailing_slash(self, kubectl: Kubectl, service):
        found = kubectl.json("get", "inferenceservice", "-n", SERVING, NAME)
        variables = {item["name"]: item.get("value") for item in found["spec"]["predictor"]["containers"][0]["env"]}
        assert variables["STORAGE_URI"] == f"s3://{NAME}/models/V0/"

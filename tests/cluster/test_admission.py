"""The two admission policies both ways: what deploy writes is taken, what could read a Secret is refused.

All of it is asked as the account that would ask it, and nothing is written: `--dry-run=server`.
"""

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.deploy.cluster.inference_service import CANARY, Revision
from components.deploy.cluster.patches import canary_at, canary_beside, changed
from tests.cluster.conftest import NAME, RUNS, SERVING, service_manifest
from tests.cluster.kubectl import Document, Kubectl
from tests.cluster.probes import Probe

DEPLOY = f"system:serviceaccount:{RUNS}:ranklift-deploy"
ARGO = f"system:serviceaccount:{RUNS}:argo"
_SECRET = {"secretKeyRef": {"name": "ranklift-predictor-s3", "key": "AWS_SECRET_ACCESS_KEY"}}


def revision(number: int) -> Revision:
    """A version as deploy writes it, with all that deploy remembers of it."""
    before = f"V{number - 1}" if number else ""
    name = f"V{number}"
    return Revision(name, f"s3://{NAME}/models/{name}/", number, "ab" * 32, before, "cd" * 32, name)


def with_index(number: int) -> Revision:
    """A version with its index."""
    return revision(number)._replace(index_uri=f"s3://{NAME}/indexes/V{number}/", index_sha256="ef" * 32)


@pytest.fixture(scope="module")
def served(kubectl: Kubectl) -> Iterator[Document]:
    """The InferenceService as the cluster has it; where there is none, one that KServe keeps stopped, without a pod."""
    name = ("inferenceservice", "-n", SERVING, NAME)
    there = kubectl("get", *name, "--ignore-not-found", "-o", "name")
    if not there:
        document = service_manifest()
        document["metadata"].setdefault("annotations", {})["serving.kserve.io/stop"] = "true"
        kubectl.apply(document)
    try:
        yield kubectl.json("get", *name)
    finally:
        if not there:
            kubectl("delete", *name, "--ignore-not-found", "--wait=true", timeout=120)


def tried(kubectl: Kubectl, body: Document, who: str = DEPLOY) -> subprocess.CompletedProcess[str]:
    """What a change of the InferenceService comes to, as a merge patch that is not kept."""
    how = ("--type=merge", "--dry-run=server", "-o", "json", *(("--as", who) if who else ()))
    return kubectl.attempt("patch", "inferenceservice", "-n", SERVING, NAME, *how, "-p", json.dumps(body))


def applied(kubectl: Kubectl, body: Document) -> subprocess.CompletedProcess[str]:
    """The same as deploy does it, by a server-side apply."""
    how = ("--server-side", "--force-conflicts", "--field-manager=ranklift", "--dry-run=server", "-o", "json")
    body = {**body, "metadata": {key: item for key, item in body["metadata"].items() if key != "resourceVersion"}}
    return kubectl.attempt("apply", *how, "--as", DEPLOY, "-f", "-", stdin=json.dumps(body))


WRITES: dict[str, Callable[[Document], Document]] = {
    "a version": lambda was: changed(was, revision(1)),
    "a version with its index": lambda was: changed(was, with_index(1)),
    "the first version again": lambda was: changed(was, revision(0)),
    "a canary": lambda was: changed(was, None, canary_beside(was, revision(2), 10)),
    "a canary of half the traffic": lambda was: changed(was, None, canary_beside(was, revision(2), 50)),
    "a version beside its canary": lambda was: changed(was, revision(2), canary_beside(was, revision(2), 10)),
    "no canary": lambda was: changed(was, None),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_deploy_writes_is_taken(kubectl, served, write):
    body = WRITES[write](served)
    said = applied(kubectl, body)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)["spec"]
    assert found["predictor"]["containers"][0]["env"] == body["spec"]["predictor"]["containers"][0]["env"]
    assert [item["trafficPercent"] for item in found.get("canary", ())] == [
        item["trafficPercent"] for item in body["spec"].get("canary", ())
    ]


def test_share_of_a_canary_may_go_to_zero(kubectl, served):
    beside = json.loads(applied(kubectl, WRITES["a canary"](served)).stdout)
    said = applied(kubectl, changed(served, None, canary_at(beside, 0)))
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("value", ["V3", None], ids=["written", "removed"])
def test_annotation_of_ours_may_be(kubectl, served, value):
    said = tried(kubectl, {"metadata": {"annotations": {"ranklift.dev/deploying": value}}})
    assert said.returncode == 0, said.stderr


def _predictor(**fields: Any) -> Callable[[Document], Document]:
    return lambda _: {"spec": {"predictor": fields}}


def _uris(*entries: tuple[str, str]) -> Callable[[Document], Document]:
    return _predictor(storageUris=[{"uri": uri, "mountPath": place} for uri, place in entries])


def _containers(was: Document) -> list[Document]:
    found: list[Document] = copy.deepcopy(was["spec"]["predictor"]["containers"])
    return found


def _container(**fields: Any) -> Callable[[Document], Document]:
    def change(was: Document) -> Document:
        containers = _containers(was)
        containers[0].update(fields)
        return {"spec": {"predictor": {"containers": containers}}}

    return change


def _variable(name: str, **value: Any) -> Callable[[Document], Document]:
    def change(was: Document) -> Document:
        containers = _containers(was)
        others = [item for item in containers[0]["env"] if item["name"] != name]
        containers[0]["env"] = [*others, {"name": name, **value}]
        return {"spec": {"predictor": {"containers": containers}}}

    return change


def _canaries(*canaries: dict[str, Any]) -> Callable[[Document], Document]:
    """Canaries that have the predictor's containers unless they say others."""

    def change(was: Document) -> Document:
        pods = [{"name": CANARY, "containers": _containers(was), **canary} for canary in canaries]
        return {"spec": {"canary": [{"trafficPercent": 10, "predictor": pod} for pod in pods]}}

    return change


def _another_container(was: Document) -> Document:
    return {"spec": {"predictor": {"containers": [*_containers(was), {"name": "another", "image": "another:1"}]}}}


def _canary_of_another_image(was: Document) -> Document:
    pod = {"name": CANARY, "containers": [{**_containers(was)[0], "image": "another:1"}]}
    return {"spec": {"canary": [{"trafficPercent": 10, "predictor": pod}]}}


def _metadata(**fields: Any) -> Callable[[Document], Document]:
    return lambda _: {"metadata": fields}


_ANOTHER = [{"name": "another", "image": "another:1"}]
_VOLUMES = [{"name": "tmp", "secret": {"secretName": "ranklift-predictor-s3"}}]
_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
HARM: dict[str, Callable[[Document], Document]] = {
    "image": _container(image="another:1"),
    "envFrom": _container(envFrom=[{"secretRef": {"name": "ranklift-predictor-s3"}}]),
    "command": _container(command=["sh"]),
    "arguments": _container(args=["--http_port=1"]),
    "mounts": _container(volumeMounts=[]),
    "security context": _container(securityContext={}),
    "resources": _container(resources={}),
    "another container": _another_container,
    "init containers": _predictor(initContainers=_ANOTHER),
    "service account": _predictor(serviceAccountName="default"),
    "token": _predictor(automountServiceAccountToken=True),
    "volumes": _predictor(volumes=_VOLUMES),
    "replicas": _predictor(minReplicas=0),
    "model": _predictor(model={"modelFormat": {"name": "a"}, "storageUri": "s3://a"}),
    "replicas of a canary": _canaries({"minReplicas": 100}),
    "label of pods": _predictor(labels={"a": "b"}),
    "annotation of pods": _predictor(annotations={"a": "b"}),
    "transformer": lambda _: {"spec": {"transformer": {"containers": _ANOTHER}}},
    "address in another bucket": _variable("STORAGE_URI", value="s3://another/models/V1/"),
    "address outside the models": _variable("STORAGE_URI", value="s3://ranklift/models/../training/V1/"),
    "address of another protocol": _variable("STORAGE_URI", value="https://example.com/V1/"),
    "address from a secret": _variable("STORAGE_URI", valueFrom=_SECRET),
    "second address in another bucket": _uris(("s3://another/indexes/V1/", "/mnt/models/index")),
    "second address of something else": _uris(("s3://ranklift/training/V1/", "/mnt/models/index")),
    "second address at another place": _uris(("s3://ranklift/indexes/V1/", "/var/run/secrets")),
    "second address of a volume": _uris(("pvc://claim/a", "/mnt/models/index")),
    "another variable": _variable("LD_PRELOAD", value="/mnt/models/a.so"),
    "variable from a secret": _variable("ANOTHER", valueFrom=_SECRET),
    "variable of another kind": _variable("RANKLIFT_PREDICTOR_DRAIN_DELAY", value="0"),
    "variable that expands another": _variable("RANKLIFT_CHAMPION_HEAD", value="$(AWS_SECRET_ACCESS_KEY)"),
    "annotation of kserve": _metadata(annotations={"serving.kserve.io/deploymentMode": "Knative"}),
    "another annotation": _metadata(annotations={"serving.kserve.io/storage-initializer-uid": "0"}),
    "label": _metadata(labels={"a": "b"}),
    "finalizer": _metadata(finalizers=["a.example/b"]),
    "owner": _metadata(ownerReferences=[_OWNER]),
    "canary of another name": _canaries({"name": "another"}),
    "canary of another image": _canary_of_another_image,
    "canary of another account": _canaries({"serviceAccountName": "default"}),
    "canary with volumes": _canaries({"volumes": _VOLUMES}),
    "canary with a label": _canaries({"labels": {"a": "b"}}),
    "canary with an annotation": _canaries({"annotations": {"a": "b"}}),
    "two canaries": _canaries({}, {}),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_deploy_has_no_reason_to_write_is_refused(kubectl, served, harm):
    said = tried(kubectl, HARM[harm](served))
    assert said.returncode == 1
    assert "ValidatingAdmissionPolicy 'ranklift-deploy-limits'" in said.stderr


def test_people_may_change_the_image(kubectl, served):
    said = tried(kubectl, HARM["image"](served), who="")
    assert said.returncode == 0, said.stderr


def test_every_account_of_kubeflow_is_meant(kubectl, served):
    """Others than deploy may not patch at all; should one be let to some day, the limits hold for it too."""
    groups = ("--as", f"system:serviceaccount:{RUNS}:another", "--as-group", f"system:serviceaccounts:{RUNS}")
    how = ("--type=merge", "--dry-run=server", *groups, "--as-group", "system:masters")
    body = json.dumps(HARM["image"](served))
    said = kubectl.attempt("patch", "inferenceservice", "-n", SERVING, NAME, *how, "-p", body)
    assert "ValidatingAdmissionPolicy 'ranklift-deploy-limits'" in said.stderr


def made_by(kubectl: Kubectl, who: str, image: str, account: str) -> subprocess.CompletedProcess[str]:
    """What a pod in kubeflow comes to."""
    pod = Probe("account", RUNS, {"pipeline/runid": "0"}, account=account).pod(image)
    how = ("--dry-run=server", *(("--as", who) if who else ()))
    return kubectl.attempt("create", *how, "-f", "-", stdin=json.dumps(pod))


def test_argo_makes_pods_with_the_account_of_runs(kubectl, image):
    said = made_by(kubectl, ARGO, image, "ranklift-pipeline")
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("account", ["ranklift-deploy", "ranklift-executor", "argo", "ml-pipeline", "pipeline-runner"])
def test_argo_makes_no_pod_with_another_account(kubectl, image, account):
    said = made_by(kubectl, ARGO, image, account)
    assert said.returncode == 1
    assert "ValidatingAdmissionPolicy 'ranklift-run-account'" in said.stderr


def test_others_than_argo_make_pods_with_the_account_that_they_need(kubectl, image):
    said = made_by(kubectl, "", image, "ml-pipeline")
    assert said.returncode == 0, said.stderr

"""Every rule of every account of ours both ways: what it needs is allowed, nothing else is."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.cluster.conftest import RUNS, SERVING, STORE
from tests.cluster.kubectl import Document, Kubectl
from tests.cluster.optional import added, copies
from tests.cluster.probes import PLAYGROUND, RESTRICTED, Probe, Probes, running
from tests.manifests.policies import RIGHTS, TRAIN_RIGHTS

#: Our accounts and the namespaces that they are in.
HOMES = {
    "ranklift-pipeline": RUNS,
    "ranklift-executor": RUNS,
    "ranklift-deploy": RUNS,
    "ranklift-train": RUNS,
    "ranklift-predictor": SERVING,
    "object-store": STORE,
}
EXPECTED = {**RIGHTS, **TRAIN_RIGHTS}
#: Where they are asked about: our namespaces, those beside them, and one that has nothing to do with us.
PLACES = (SERVING, RUNS, STORE, "kserve", "envoy-gateway-system", "kube-system", "default")
#: An account like any other that Kubernetes knows: what it may do, everybody may.
ANYBODY = f"system:serviceaccount:{PLAYGROUND}:anybody"

Right = tuple[str, str, str, str]  #: API group, resource, name or "" for every one, verb


class Review(NamedTuple):
    """A question whether an account may do something."""

    account: str
    verb: str
    group: str
    resource: str
    name: str
    place: str

    @property
    def told(self) -> str:
        what = f"{self.resource}/{self.name}" if self.name else self.resource
        return f"{self.account}: {self.verb} {what} in {self.place}"

    def document(self) -> Document:
        """The question as Kubernetes takes it."""
        resource, _, subresource = self.resource.partition("/")
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user(self.account),
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{HOMES[self.account]}"],
                "resourceAttributes": {
                    "namespace": self.place,
                    "verb": self.verb,
                    "group": self.group,
                    "resource": resource,
                    "subresource": subresource,
                    "name": self.name,
                },
            },
        }


def user(account: str) -> str:
    """The name that Kubernetes has for an account of ours."""
    return f"system:serviceaccount:{HOMES[account]}:{account}"


def rights(account: str, place: str) -> set[Right]:
    """What an account is to have in a namespace, one by one."""
    return {
        (group, resource, name, verb)
        for group, resource, names, verbs in EXPECTED.get((account, place), ())
        for name in names or ("",)
        for verb in verbs
    }


ALLOWED = sorted(
    Review(account, verb, group, resource, name, place)
    for account, place in EXPECTED
    for group, resource, name, verb in rights(account, place)
)


def neighbours(review: Review) -> Iterator[Review]:
    """What is next to a right: another verb, another name, another namespace, another account of ours."""
    place, others = review.place, (SERVING, RUNS)
    yield from (review._replace(verb=verb) for verb in ("create", "get", "list", "patch", "update", "delete"))
    if review.name:
        yield from (review._replace(name=name) for name in ("another", ""))
    yield from (review._replace(place=other) for other in (*others, STORE) if other != place)
    yield from (review._replace(account=account) for account in HOMES)


REFUSED = sorted({item for review in ALLOWED for item in neighbours(review)} - set(ALLOWED))


@pytest.fixture(scope="module", autouse=True)
def train_jobs(kubectl: Kubectl) -> Iterator[None]:
    """The rights of the stage train where an overlay lets it make TrainJobs; to grant them nobody need be there."""
    with added(kubectl, copies("train-jobs/role.yaml", "Role", "RoleBinding")):
        yield


@pytest.fixture(scope="module")
def answers(kubectl: Kubectl) -> dict[Review, bool]:
    """What Kubernetes says to all of these."""
    asked = [*ALLOWED, *REFUSED]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [review.document() for review in asked]})
    each = ("-o", r'jsonpath={.status.allowed}{"\n"}')
    said = kubectl("create", "--validate=false", *each, "-f", "-", stdin=text, timeout=120).split()
    return {review: allowed == "true" for review, allowed in zip(asked, said, strict=True)}


def rules(kubectl: Kubectl, who: str, place: str) -> set[Right]:
    """All that somebody may do in a namespace, as Kubernetes tells it."""
    text = json.dumps(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": place},
        }
    )
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    said = json.loads(kubectl("create", "--raw", path, "-f", "-", "--as", who, stdin=text))["status"]
    return {
        (group, resource, name, verb)
        for rule in said["resourceRules"]
        for group in rule.get("apiGroups") or ("",)
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or ("",)
        for verb in rule["verbs"]
    }


def test_every_account_that_has_a_right_is_looked_at():
    assert {account for account, _ in EXPECTED} <= HOMES.keys()


@pytest.mark.parametrize("review", ALLOWED, ids=lambda review: review.told)
def test_right_that_an_account_needs_is_given(answers, review):
    assert answers[review]


@pytest.mark.parametrize("review", REFUSED, ids=lambda review: review.told)
def test_right_beside_it_is_refused(answers, review):
    assert not answers[review]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("account", HOMES)
def test_account_has_no_other_right_anywhere(kubectl, account, place):
    others = rules(kubectl, user(account), place) - rules(kubectl, ANYBODY, place)
    assert others == rights(account, place)


@pytest.mark.parametrize("account", sorted(HOMES.keys() - {"ranklift-train"}))  # not on every cluster
def test_pod_has_a_token_only_where_kubeflows_launcher_needs_it(kubectl, image, account):
    pod = Probe(f"token-of-{account}", HOMES[account], account=account).pod(image)
    del pod["spec"]["automountServiceAccountToken"]
    said = json.loads(kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(pod)))
    tokens = [volume for volume in said["spec"].get("volumes", ()) if "projected" in volume]
    assert bool(tokens) == (account == "ranklift-pipeline")


_ASK = """
import json, pathlib, ssl, sys, urllib.error, urllib.request

account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
trust = ssl.create_default_context(cafile=account / "ca.crt")

def status(method, path, body):
    headers = {"Authorization": "Bearer " + (account / "token").read_text(), "Content-Type": kinds.get(method, "")}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request("https://kubernetes.default.svc" + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20, context=trust) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code

kinds = {"PATCH": "application/merge-patch+json", "POST": "application/json"}
print(json.dumps([status(*call) for call in json.load(sys.stdin)]))
"""
_CORE = "/api/v1/namespaces"
_TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "made-by-a-stage"},
    "spec": {"securityContext": RESTRICTED, "containers": [{"name": "a", "image": "a"}]},
}
_RESULT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "WorkflowTaskResult",
    "metadata": {"name": "made-by-a-stage"},
}
_SERVICES = f"/apis/serving.kserve.io/v1beta1/namespaces/{SERVING}/inferenceservices"
_ARGO = f"/apis/argoproj.io/v1alpha1/namespaces/{RUNS}"
CALLS: dict[str, tuple[int, str, str, Any]] = {
    "read where artifacts go": (200, "GET", f"{_CORE}/{RUNS}/configmaps/kfp-launcher", None),
    "read the keys of artifacts": (200, "GET", f"{_CORE}/{RUNS}/secrets/mlpipeline-minio-artifact", None),
    "read the token of deploy": (403, "GET", f"{_CORE}/{RUNS}/secrets/ranklift-deploy-token", None),
    "read the keys of the registry": (403, "GET", f"{_CORE}/{RUNS}/secrets/ranklift-object-store", None),
    "list the secrets of runs": (403, "GET", f"{_CORE}/{RUNS}/secrets", None),
    "list the secrets of the predictor": (403, "GET", f"{_CORE}/{SERVING}/secrets", None),
    "read the keys of the store's administrator": (403, "GET", f"{_CORE}/{STORE}/secrets/object-store-root", None),
    "ask for a token of deploy": (403, "POST", f"{_CORE}/{RUNS}/serviceaccounts/ranklift-deploy/token", _TOKEN),
    "ask for a token of argo": (403, "POST", f"{_CORE}/{RUNS}/serviceaccounts/argo/token", _TOKEN),
    "read the InferenceService": (403, "GET", f"{_SERVICES}/ranklift", None),
    "change the InferenceService": (403, "PATCH", f"{_SERVICES}/ranklift", {"metadata": {"labels": {"a": "b"}}}),
    "make a pod in kubeflow": (403, "POST", f"{_CORE}/{RUNS}/pods", _POD),
    "make a pod in ranklift": (403, "POST", f"{_CORE}/{SERVING}/pods", _POD),
    "list the pods of runs": (403, "GET", f"{_CORE}/{RUNS}/pods", None),
    "list workflows": (403, "GET", f"{_ARGO}/workflows", None),
    "tell Argo what a step gave": (403, "POST", f"{_ARGO}/workflowtaskresults", _RESULT),
    "list namespaces": (403, "GET", "/api/v1/namespaces", None),
    "list nodes": (403, "GET", "/api/v1/nodes", None),
}


@pytest.fixture(scope="module")
def statuses(kubectl: Kubectl, image: str) -> Iterator[dict[str, int]]:
    """What Kubernetes answers to each of the calls from a pod of a run, with the token that is in it."""
    probe = Probe("stage", RUNS, {"pipeline/runid": "0"}, account="ranklift-pipeline")
    with running(kubectl, image, [probe]) as probes:
        yield dict(zip(CALLS, _asked(probes), strict=True))


def _asked(probes: Probes) -> list[int]:
    said: list[int] = probes.run("stage", _ASK, [call[1:] for call in CALLS.values()])
    return said


@pytest.mark.parametrize("call", CALLS)
def test_stage_with_the_token_of_its_pod_does_what_kubeflow_needs_and_no_more(statuses, call):
    assert statuses[call] == CALLS[call][0]

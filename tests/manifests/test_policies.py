"""Every manifest keeps the rules, and a manifest that breaks one is found out."""

import copy
import re
import shutil
import subprocess

import pytest

from tests.manifests.conftest import RENDERED
from tests.manifests.policies import POLICIES, containers
from tests.manifests.rendering import PROJECT, find


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("overlay", RENDERED)
def test_the_rule_is_kept(rendered, inference_service, overlay, policy):
    assert POLICIES[policy]([*rendered(overlay), inference_service]) == []


def set_in_container(**fields):
    def change(documents):
        _, _, container = next(containers(documents))
        container.update(fields)

    return change


def set_in_security_context(**fields):
    def change(documents):
        _, _, container = next(containers(documents))
        container["securityContext"].update(fields)

    return change


def drop(kind, name, namespace=None):
    def change(documents):
        documents.remove(find(documents, kind, name, namespace))

    return change


def change_role(name="ranklift-deploy", **fields):
    def change(documents):
        find(documents, "Role", name)["rules"][0].update(fields)

    return change


def every_secret(documents):
    (rule,) = (rule for rule in find(documents, "Role", "ranklift-run")["rules"] if rule["resources"] == ["secrets"])
    del rule["resourceNames"]


def bind_to_every_stage(documents):
    find(documents, "RoleBinding", "ranklift-deploy")["subjects"][0]["name"] = "ranklift-pipeline"


def without_reasons(documents):
    documents.remove(find(documents, "RoleBinding", "ranklift-pod-reasons"))


def another_token(documents):
    copied = copy.deepcopy(find(documents, "Secret", "ranklift-deploy-token"))
    copied["metadata"]["annotations"]["kubernetes.io/service-account.name"] = "ranklift-pipeline"
    documents.append(copied)


def within_the_namespace(documents):
    policy = find(documents, "NetworkPolicy", "servers-to-each-other", "kubeflow")
    policy["spec"]["egress"][0]["to"] = [{"podSelector": {}}]


def anything(documents):
    find(documents, "NetworkPolicy", "database", "kubeflow")["spec"]["ingress"] = [{}]


def cluster_wide(documents):
    binding = copy.deepcopy(find(documents, "RoleBinding", "ranklift-deploy"))
    documents.append({**binding, "kind": "ClusterRoleBinding"})


def as_root(documents):
    find(documents, "StatefulSet", "object-store")["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = 0


def without_a_probe(documents):
    _, _, container = next(containers(documents))
    del container["livenessProbe"]


def unlabelled(documents):
    del find(documents, "Namespace", "ranklift")["metadata"]["labels"]


def open_policy(documents):
    find(documents, "NetworkPolicy", "default-deny", "ranklift")["spec"]["ingress"] = [{}]


def with_a_token(documents):
    find(documents, "ServiceAccount", "ranklift-predictor")["automountServiceAccountToken"] = True


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        pytest.param("images_are_pinned", set_in_container(image="quay.io/minio/minio:latest"), id="latest"),
        pytest.param("images_are_pinned", set_in_container(image="quay.io/minio/minio"), id="no-tag"),
        pytest.param("images_are_pinned", set_in_container(image="registry:5000/minio"), id="a-port-is-no-tag"),
        pytest.param("containers_cannot_harm", as_root, id="root"),
        pytest.param("containers_cannot_harm", set_in_security_context(readOnlyRootFilesystem=False), id="writable"),
        pytest.param("containers_cannot_harm", set_in_security_context(capabilities={}), id="capabilities"),
        pytest.param("containers_cannot_harm", set_in_security_context(allowPrivilegeEscalation=True), id="escalation"),
        pytest.param("containers_have_bounds", set_in_container(resources={"requests": {"cpu": "1"}}), id="no-limits"),
        pytest.param("servers_have_probes", without_a_probe, id="probe"),
        pytest.param("namespaces_deny_by_default", drop("NetworkPolicy", "default-deny", "ranklift"), id="no-policy"),
        pytest.param("namespaces_deny_by_default", open_policy, id="policy-that-lets-all-in"),
        pytest.param("namespaces_are_restricted", unlabelled, id="no-pod-security"),
        pytest.param("accounts_have_their_rights_alone", change_role(verbs=["get", "patch", "list"]), id="verb-more"),
        pytest.param("accounts_have_their_rights_alone", change_role(resources=["pods"]), id="kind-more"),
        pytest.param("accounts_have_their_rights_alone", change_role(resourceNames=[]), id="every-object"),
        pytest.param("accounts_have_their_rights_alone", change_role(verbs=["*"]), id="wildcard"),
        pytest.param("accounts_have_their_rights_alone", cluster_wide, id="every-namespace"),
        pytest.param("accounts_have_their_rights_alone", every_secret, id="every-secret"),
        pytest.param("accounts_have_their_rights_alone", bind_to_every_stage, id="every-stage"),
        pytest.param("accounts_have_their_rights_alone", without_reasons, id="right-that-is-missing"),
        pytest.param("long_lived_tokens_are_few", another_token, id="another-token"),
        pytest.param("allowed_traffic_names_both_ends", within_the_namespace, id="every-pod"),
        pytest.param("allowed_traffic_names_both_ends", anything, id="every-port"),
        pytest.param("tokens_are_not_mounted", with_a_token, id="token"),
    ],
)  # fmt: skip
def test_a_manifest_that_breaks_the_rule_is_found(rendered, policy, change):
    documents = copy.deepcopy(rendered("overlays/kind"))
    # A Job needs no probes: the first container is to be a server's.
    documents.sort(key=lambda document: document["kind"] != "StatefulSet")
    change(documents)
    assert POLICIES[policy](documents) != []


# What follows reads the files that git knows, and needs no kubectl.


def files_in_git():
    places = ("manifests", "kserve", "kind-config.yaml")
    listed = subprocess.run(
        [shutil.which("git"), "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard", *places],
        capture_output=True,
        text=True,
        check=True,
    )
    return [PROJECT / name for name in listed.stdout.split()]


GIVEN = re.compile(
    r"(password|secret_?(access_?)?key|access_?key(_?id)?|token)[\"']?\s*[:=]\s*[\"']?(?P<value>[^\s\"',}]+)",
    re.IGNORECASE,
)
NO_VALUE = re.compile(r"\$|\{|true|false")


def holds_a_secret(text: str) -> bool:
    """Whether a text gives a password or a key a value, or holds a Secret written by hand."""
    given = any(not NO_VALUE.match(found["value"]) for found in GIVEN.finditer(text))
    by_hand = re.search(r"(?m)^kind: Secret$", text) and re.search(r"(?m)^(data|stringData):", text)
    return bool(given or by_hand)


def test_no_password_is_in_git():
    files = [path for path in files_in_git() if path.suffix in (".yaml", ".sh", ".json", ".env")]
    assert len(files) > 30
    assert [path for path in files if path.suffix == ".env"] == []
    assert [path for path in files if holds_a_secret(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        "MINIO_ROOT_PASSWORD=minio123",
        "  secretkey: minio123",
        "AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI",
        "kind: Secret\nmetadata: {name: a}\nstringData:\n  a: b",
    ],
)
def test_a_password_would_be_found(text):
    assert holds_a_secret(text)

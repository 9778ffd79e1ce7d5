"""What others publish is pinned, and our patches fit it: here a stand-in of each release, with what we change of it."""

import copy
import json
import re
import shutil

import pytest
import yaml
from pydantic import ValidationError

from tests.manifests.launcher import read_launcher
from tests.manifests.rendering import KUBERNETES, MANIFESTS, copy_with_keys, find, render, validate
from tests.manifests.sdk_schema import faults

STANDINS = MANIFESTS.parent / "tests" / "manifests" / "standins"
KUSTOMIZATIONS = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml"))
#: A release's file, or a folder of a repository at a tag.
PINNED = re.compile(
    r"https://github\.com/[\w-]+/[\w-]+"
    r"(/releases/download/v\d+\.\d+\.\d+/[\w.-]+\.yaml|//[\w/.-]+\?ref=v?\d+\.\d+\.\d+(&timeout=\d+s)?)"
)


def remote_references(folder):
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return [reference for reference in kustomization.get("resources", ()) if not (folder / reference).exists()]


def test_every_remote_reference_is_pinned():
    references = [reference for folder in KUSTOMIZATIONS for reference in remote_references(folder)]
    assert len(references) == 8
    assert [reference for reference in references if not PINNED.fullmatch(reference)] == []


@pytest.mark.parametrize(
    "reference",
    [
        "https://github.com/kserve/kserve/releases/latest/download/kserve.yaml",
        "https://github.com/kubeflow/pipelines//manifests/kustomize/env/platform-agnostic?ref=master",
        "https://github.com/kubeflow/pipelines//manifests/kustomize/env/platform-agnostic",
        "https://raw.githubusercontent.com/kserve/kserve/master/install.yaml",
        "https://github.com/argoproj/argo-workflows?ref=v4",
    ],
)
def test_a_reference_that_moves_is_found(reference):
    assert not PINNED.fullmatch(reference)


def test_kubeflow_is_of_the_release_that_the_project_compiles_for():
    versions = set(re.findall(r"kubeflow/pipelines//\S+\?ref=([\d.]+)", all_kustomizations()))
    pinned = re.search(r"^kfp==(.+)$", (MANIFESTS.parent / "constraints.txt").read_text(), re.MULTILINE)
    assert versions == {pinned[1]}


def test_kserve_is_of_the_release_that_the_predictor_is_made_with():
    versions = set(re.findall(r"kserve/kserve/releases/download/v([\d.]+)/", all_kustomizations()))
    pinned = re.search(r"^kserve==(.+)$", (MANIFESTS.parent / "constraints.txt").read_text(), re.MULTILINE)
    assert versions == {pinned[1]}


def all_kustomizations():
    return "\n".join((folder / "kustomization.yaml").read_text() for folder in KUSTOMIZATIONS)


def test_only_folders_for_others_releases_reach_into_the_network():
    reaching = {str(folder.relative_to(MANIFESTS)) for folder in KUSTOMIZATIONS if remote_references(folder)}
    assert {name for name in reaching if not name.startswith("upstream/")} == {"overlays/kind/metrics-server"}


def test_the_readme_has_a_line_for_every_folder():
    readme = (MANIFESTS / "README.md").read_text()
    folders = [str(folder.relative_to(MANIFESTS)) for folder in KUSTOMIZATIONS]
    assert [folder for folder in folders if f"`{folder}`" not in readme] == []


@pytest.fixture(scope="module")
def patched(kubectl, tmp_path_factory):
    """The documents of a kustomization whose remote parts are stand-ins."""
    folder = copy_with_keys(tmp_path_factory.mktemp("upstream"))
    for kustomization in folder.rglob("kustomization.yaml"):
        name = kustomization.parent.name
        text = kustomization.read_text()
        if (STANDINS / f"{name}.yaml").is_file() and "https://" in text:
            shutil.copy(STANDINS / f"{name}.yaml", kustomization.with_name("standin.yaml"))
            kustomization.write_text(re.sub(r"- https://\S+", "- standin.yaml", text))

    def of(name):
        return render(kubectl, folder / name)

    return of


@pytest.mark.parametrize(("overlay", "domain"), [("kind", "localhost"), ("cluster", "example.com")])
def test_kserve_runs_in_standard_mode_on_our_gateway(patched, rendered, overlay, domain):
    config = find(patched(f"overlays/{overlay}/kserve"), "ConfigMap", "inferenceservice-config")["data"]
    assert json.loads(config["deploy"]) == {"defaultDeploymentMode": "Standard"}
    ingress = json.loads(config["ingress"])
    assert ingress["enableGatewayApi"] is True
    assert ingress["ingressDomain"] == domain
    # KServe refuses a configuration without this one, in every mode.
    assert ingress["ingressGateway"]
    namespace, name = ingress["kserveIngressGateway"].split("/")
    find(rendered(f"overlays/{overlay}"), "Gateway", name, namespace)
    assert "storageInitializer" in config, "what is not ours stays"


@pytest.mark.parametrize(("overlay", "domain"), [("kind", "localhost"), ("cluster", "example.com")])
def test_the_certificate_is_for_the_predictors_host(rendered, inference_service, overlay, domain):
    host = "{name}-{namespace}".format(**inference_service["metadata"]) + f".{domain}"
    assert host in find(rendered(f"overlays/{overlay}"), "Certificate", "kserve-ingress")["spec"]["dnsNames"]


def test_the_storage_initializer_is_let_into_a_restricted_namespace(patched):
    container = find(patched("overlays/kind/kserve"), "ClusterStorageContainer", "default")
    assert faults(container, "V1alpha1ClusterStorageContainer") == []
    context = container["spec"]["container"]["securityContext"]
    assert context["runAsNonRoot"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"]["drop"] == ["ALL"] and context["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["spec"]["container"]["resources"], "what is not ours stays"


def test_of_kserve_only_what_serves_predictors_is_installed(patched):
    documents = patched("overlays/kind/kserve")
    left = {(document["kind"], document["metadata"]["name"]) for document in documents}
    assert {name for kind, name in left if kind in ("Deployment", "DaemonSet")} == {"kserve-controller-manager"}
    assert {name for kind, name in left if "Webhook" in kind} == {"inferenceservice.serving.kserve.io"}


def test_envoy_gateway_brings_no_gateway_api_of_its_own(patched):
    names = {document["metadata"]["name"] for document in patched("upstream/envoy-gateway")}
    assert names == {"envoyproxies.gateway.envoyproxy.io", "envoy-gateway"}


def test_the_metrics_server_of_kind_takes_unsigned_kubelets(patched):
    (deployment,) = patched("overlays/kind/metrics-server")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--cert-dir=/tmp", "--kubelet-insecure-tls"]


def test_kubeflow_uses_our_store_alone(patched, rendered):
    documents = patched("upstream/pipelines")
    ours = rendered("overlays/kind")
    assert not any("seaweedfs" in document["metadata"]["name"] for document in documents)
    assert "seaweedfs" not in yaml.safe_dump_all(documents)
    # The Secret with the published default password goes, ours comes under the same name.
    assert not any(document["kind"] == "Secret" for document in documents)
    assert find(ours, "Secret", "mlpipeline-minio-artifact", "kubeflow")["data"].keys() == {"accesskey", "secretkey"}
    server = environment(documents, "ml-pipeline")
    assert server["OBJECTSTORECONFIG_HOST"] == "object-store.ranklift-store.svc.cluster.local"
    assert server["DBCONFIG_USER"] == "root", "what is not ours stays"
    find(ours, "ServiceAccount", server["DEFAULTPIPELINERUNNERSERVICEACCOUNT"], "kubeflow")
    page = environment(documents, "ml-pipeline-ui")
    find(ours, "Service", page["MINIO_HOST"], page["MINIO_NAMESPACE"])


def environment(documents, name):
    (container,) = find(documents, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert not any("value" in variable and "valueFrom" in variable for variable in container["env"])
    return {variable["name"]: variable.get("value") for variable in container["env"]}


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field_of_kubeflow_as_we_change_it(patched, version):
    for document in patched("upstream/pipelines"):
        validate(document, version)


def test_argo_keeps_logs_in_our_store(patched):
    config = find(patched("upstream/pipelines"), "ConfigMap", "workflow-controller-configmap")["data"]
    store = yaml.safe_load(config["artifactRepository"])["s3"]
    assert store["endpoint"] == "object-store.ranklift-store.svc.cluster.local:9000"
    assert store["accessKeySecret"] == {"name": "mlpipeline-minio-artifact", "key": "accesskey"}
    assert config["executor"], "what is not ours stays"


def test_argo_has_an_executor_account_and_retries_what_was_killed_beside_the_defaults_of_the_release(patched, rendered):
    ours = find(patched("upstream/pipelines"), "ConfigMap", "workflow-controller-configmap")["data"]
    released = next(
        document["data"]
        for document in yaml.safe_load_all((STANDINS / "pipelines.yaml").read_text())
        if document["metadata"]["name"] == "workflow-controller-configmap"
    )
    defaults = yaml.safe_load(ours["workflowDefaults"])["spec"]
    account = defaults.pop("executor")["serviceAccountName"]
    expected = yaml.safe_load(released["workflowDefaults"])["spec"]
    expected["templateDefaults"]["retryStrategy"] |= {
        "retryPolicy": "Always",
        "expression": (
            "lastRetry.status == 'Error' || lastRetry.exitCode == '143' "
            "|| lastRetry.exitCode == '137' && !(lastRetry.message contains 'OOMKilled')"
        ),
    }
    assert defaults == expected, "what is not ours stays"
    find(rendered("overlays/kind"), "ServiceAccount", account, "kubeflow")


def test_argo_looks_at_a_workflow_every_second(patched):
    assert environment(patched("upstream/pipelines"), "workflow-controller")["DEFAULT_REQUEUE_TIME"] == "1s"


@pytest.mark.parametrize("folder", ["upstream/kserve", "upstream/pipelines"])
def test_images_of_a_release_are_pulled_once(patched, folder):
    deployments = [document for document in patched(folder) if document["kind"] == "Deployment"]
    containers = [item for document in deployments for item in document["spec"]["template"]["spec"]["containers"]]
    policies = {item["name"]: item.get("imagePullPolicy", "IfNotPresent") for item in containers if "image" in item}
    assert len(policies) >= 1 and set(policies.values()) == {"IfNotPresent"}


# The ConfigMap kfp-launcher, against what KFP reads of it.


@pytest.fixture
def launcher():
    return yaml.safe_load((MANIFESTS / "upstream" / "pipelines" / "kfp-launcher.yaml").read_text())


def test_artifacts_of_every_run_live_in_our_store(launcher, rendered):
    config = read_launcher(launcher)
    documents = rendered("overlays/kind")
    default = config.providers.s3.default
    host, port = default.endpoint.removeprefix("http://").split(":")
    name, namespace, *_ = host.split(".")
    assert int(port) in {entry["port"] for entry in find(documents, "Service", name, namespace)["spec"]["ports"]}
    assert default.disableSSL and default.forcePathStyle
    reference = default.credentials.secretRef
    secret = find(documents, "Secret", reference.secretName, launcher["metadata"]["namespace"])
    assert {reference.accessKeyKey, reference.secretKeyKey} == secret["data"].keys()
    # The launcher reads the Secret in the name of the run.
    readable = [rule for rule in find(documents, "Role", "ranklift-run")["rules"] if rule["resources"] == ["secrets"]]
    assert readable[0]["resourceNames"] == [reference.secretName]


@pytest.mark.parametrize("store", ["minio/setup.sh", "seaweedfs/buckets.sh"])
def test_the_bucket_of_the_artifacts_is_made(launcher, store):
    bucket = read_launcher(launcher).defaultPipelineRoot.removeprefix("s3://").split("/")[0]
    made = re.search(r"^for bucket in (.+); do$", (MANIFESTS / "store" / store).read_text(), re.MULTILINE)
    assert {bucket, "mlpipeline"} == set(made[1].split())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("forcePathStyle", "forcepathstyle", id="misspelt"),
        pytest.param("disableSSL: true", 'disableSSL: "true"', id="text-for-a-truth-value"),
        pytest.param("secretRef", "secret", id="no-secret"),
        pytest.param("s3:", "minio:", id="another-provider"),
        pytest.param("http://object-store", "object-store", id="no-scheme"),
    ],
)
def test_a_launcher_configuration_that_kfp_would_misread_is_found(launcher, old, new):
    broken = copy.deepcopy(launcher)
    assert old in broken["data"]["providers"]
    broken["data"]["providers"] = broken["data"]["providers"].replace(old, new, 1)
    with pytest.raises(ValidationError):
        read_launcher(broken)

"""What kustomize gives is what Kubernetes, KServe and the gateway take, and its parts fit each other."""

import copy

import pytest

from tests.manifests.conftest import RENDERED
from tests.manifests.policies import TRAIN_RIGHTS, granted_by
from tests.manifests.rendering import FOREIGN, KUBERNETES, find, kubernetes_validate, validate

STORES = ("overlays/kind", "overlays/kind with seaweedfs")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", RENDERED)
def test_kubernetes_knows_every_field(rendered, overlay, version):
    checked = [document for document in rendered(overlay) if document["apiVersion"] not in FOREIGN]
    for document in checked:
        validate(document, version)
    assert len(checked) > 30


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("StatefulSet", "object-store", ("spec", "replica"), 1),
        ("StatefulSet", "object-store", ("spec", "replicas"), "one"),
        ("Job", "object-store-setup", ("spec", "template", "spec", "restartsPolicy"), "Never"),
        ("NetworkPolicy", "dns", ("spec", "podselector"), {}),
        ("PodDisruptionBudget", "ranklift-predictor", ("spec", "maxunavailable"), 1),
        ("Role", "ranklift-deploy", ("rules",), [{"apiGroups": "serving.kserve.io", "verbs": ["get"]}]),
        ("Namespace", "ranklift", ("metadata", "label"), {"a": "b"}),
        ("Secret", "ranklift-object-store", ("stringdata",), {}),
    ],
)
def test_a_misspelt_or_mistyped_field_is_found(rendered, kind, name, path, value):
    broken = copy.deepcopy(find(rendered("overlays/kind"), kind, name, None if kind != "NetworkPolicy" else "ranklift"))
    *parents, last = path
    place = broken
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(kubernetes_validate().ValidationError):
        validate(broken, KUBERNETES[0])


@pytest.mark.parametrize("overlay", RENDERED)
def test_names_are_used_once(rendered, overlay):
    names = [
        (document["apiVersion"], document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"])
        for document in rendered(overlay)
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("overlay", RENDERED)
def test_the_gateway_is_whole(rendered, overlay):
    documents = rendered(overlay)
    gateway = find(documents, "Gateway", "kserve-ingress-gateway", "kserve")
    find(documents, "GatewayClass", gateway["spec"]["gatewayClassName"])
    reference = gateway["spec"]["infrastructure"]["parametersRef"]
    # Envoy Gateway looks for it in the Gateway's own namespace.
    find(documents, reference["kind"], reference["name"], "kserve")
    listeners = {listener["port"]: listener for listener in gateway["spec"]["listeners"]}
    assert listeners.keys() == {80, 443}
    (secret,) = listeners[443]["tls"]["certificateRefs"]
    assert find(documents, "Certificate", "kserve-ingress")["spec"]["secretName"] == secret["name"]


def test_in_kind_ports_80_and_443_of_this_machine_lead_to_the_proxies(rendered, kind_config):
    proxy = find(rendered("overlays/kind"), "EnvoyProxy", "kserve-ingress-gateway", "kserve")
    service = proxy["spec"]["provider"]["kubernetes"]["envoyService"]
    assert service["type"] == "NodePort"
    assert service["externalTrafficPolicy"] == "Cluster"
    assert service["patch"]["type"] == "StrategicMerge"
    node_ports = {port["port"]: port["nodePort"] for port in service["patch"]["value"]["spec"]["ports"]}
    (node,) = kind_config["nodes"]
    mapped = {port["containerPort"]: port["hostPort"] for port in node["extraPortMappings"]}
    assert {port: mapped[node_port] for port, node_port in node_ports.items()} == {80: 80, 443: 443}
    assert all(30000 <= node_port <= 32767 for node_port in node_ports.values())


def test_on_a_real_cluster_the_proxies_stand_behind_a_load_balancer(rendered):
    proxy = find(rendered("overlays/cluster"), "EnvoyProxy", "kserve-ingress-gateway", "kserve")
    assert proxy["spec"]["provider"]["kubernetes"]["envoyService"] == {"type": "LoadBalancer"}
    assert proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["replicas"] == 2


@pytest.mark.parametrize("overlay", STORES)
def test_the_store_answers_at_one_address_whatever_it_is(rendered, overlay):
    documents = rendered(overlay)
    service = find(documents, "Service", "object-store", "ranklift-store")
    server = find(documents, "StatefulSet", "object-store", "ranklift-store")
    assert service["spec"]["selector"].items() <= server["spec"]["template"]["metadata"]["labels"].items()
    (container,) = server["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [(port["port"], ports[port["targetPort"]]) for port in service["spec"]["ports"]] == [(9000, 9000)]
    (claim,) = server["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] in {mount["name"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("overlay", STORES)
def test_every_secret_and_config_map_that_is_used_is_there(rendered, overlay):
    documents = rendered(overlay)
    there = {
        (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]): document
        for document in documents
        if document["kind"] in ("Secret", "ConfigMap", "ServiceAccount")
    }
    used = list(references(documents))
    assert len(used) > 10
    for kind, namespace, name, key in used:
        assert (kind, namespace, name) in there
        assert key is None or key in there[kind, namespace, name]["data"]


def references(documents):
    """(kind, namespace, name, key) of what workloads and service accounts refer to."""
    for document in documents:
        namespace = document["metadata"].get("namespace")
        for secret in document.get("secrets", ()):
            yield "Secret", namespace, secret["name"], None
        notes = document["metadata"].get("annotations", {})
        if name := notes.get("workflows.argoproj.io/service-account-token.name"):
            yield "Secret", namespace, name, None
        if name := notes.get("kubernetes.io/service-account.name"):
            yield "ServiceAccount", namespace, name, None
        if document["kind"] in ("StatefulSet", "Job"):
            pod = document["spec"]["template"]["spec"]
            yield "ServiceAccount", namespace, pod["serviceAccountName"], None
            for kind, name, key in references_of(pod):
                yield kind, namespace, name, key


def references_of(pod):
    for volume in pod["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
    (container,) = pod["containers"]
    for source in container.get("envFrom", ()):
        yield "Secret", source["secretRef"]["name"], None
    for variable in container["env"]:
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            yield "Secret", reference["name"], reference["key"]


def test_the_predictors_secret_says_where_its_store_is(rendered, inference_service):
    documents = rendered("overlays/kind")
    namespace = inference_service["metadata"]["namespace"]
    account = find(documents, "ServiceAccount", inference_service["spec"]["predictor"]["serviceAccountName"], namespace)
    (secret,) = account["secrets"]
    annotations = find(documents, "Secret", secret["name"], namespace)["metadata"]["annotations"]
    host, port = annotations["serving.kserve.io/s3-endpoint"].split(":")
    name, where, *_ = host.split(".")
    assert int(port) in {entry["port"] for entry in find(documents, "Service", name, where)["spec"]["ports"]}
    assert annotations["serving.kserve.io/s3-usehttps"] == "0"


def test_no_two_users_of_the_store_have_the_same_keys(rendered):
    secrets = [document for document in rendered("overlays/kind") if document["kind"] == "Secret"]
    in_store = [secret for secret in secrets if secret["metadata"]["namespace"] == "ranklift-store"]
    values = [value for secret in in_store for value in secret["data"].values()]
    assert len(values) == len(set(values)) == 8


def test_the_disruption_budget_is_for_the_predictors_pods(rendered, inference_service):
    budget = find(rendered("overlays/kind"), "PodDisruptionBudget", "ranklift-predictor", "ranklift")
    labels = {"serving.kserve.io/inferenceservice": inference_service["metadata"]["name"], "component": "predictor"}
    assert budget["spec"]["selector"]["matchLabels"] == labels


@pytest.mark.parametrize("overlay", ["overlays/kind", "overlays/cluster"])
def test_the_pipeline_makes_train_jobs_only_where_an_overlay_says_so(rendered, overlay):
    name = "ranklift-train-jobs"
    assert not any(document["metadata"]["name"] == name for document in rendered(overlay))
    documents = rendered(f"{overlay} with train-jobs")
    role, binding = (find(documents, kind, name, "kubeflow") for kind in ("Role", "RoleBinding"))
    for document in (role, binding):
        validate(document, KUBERNETES[-1])
    assert granted_by([role, binding]) == TRAIN_RIGHTS
    (subject,) = binding["subjects"]
    account = find(documents, "ServiceAccount", subject["name"], subject["namespace"])
    token = find(documents, "Secret", "ranklift-train-token", "kubeflow")
    assert token["metadata"]["annotations"]["kubernetes.io/service-account.name"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False, "train gets it by the Secret, no other stage does"

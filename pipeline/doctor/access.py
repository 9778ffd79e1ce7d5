"""Who may reach the object store: the Secrets and ServiceAccounts of each namespace, and KFP's launcher."""

from typing import Any
from urllib.parse import urlsplit

from components.errors import RankliftError
from components.kubernetes.account import KUBEFLOW
from components.kubernetes.fields import items, table, text
from components.kubernetes.kinds import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from pipeline.cluster.store import KEYS, S3, STAGES_KEYS, Attached, StorePlace, store_place
from pipeline.doctor.cluster import Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_ENDPOINT = f"{S3}endpoint"
_HTTPS = f"{S3}usehttps"
_APPLY = "`kubectl apply -k` the overlay of manifests/ again"
_PROBE = "ranklift-doctor"
_CONTROLLER = "workflow-controller-configmap"
_ACCOUNT_ANNOTATION = "workflows.argoproj.io/service-account-token.name"


def check_runs_secret(cluster: Cluster) -> Result:
    """Whether the pipeline's pods find the object store's keys."""
    stated, namespace = cluster.settings.object_store, cluster.place.runs
    name = stated.secret if stated is not None else STAGES_KEYS
    keys = dict(stated.keys) if stated is not None else dict(zip(KEYS, KEYS, strict=True))
    values = _values(cluster, namespace, name, keys)
    if isinstance(values, Result):
        return values
    try:
        where = store_place(cluster.api, cluster.place, cluster.settings, cluster.service)
    except RankliftError as error:
        return skipped(f"whether the store takes the keys of Secret {namespace}/{name}, which are there: {error}")
    return cluster.try_keys(where.settings(*values), f"{namespace}/{name}", "champion.json")


def check_serving_account(cluster: Cluster) -> Result:
    """Whether the predictor's ServiceAccount leads KServe's storage initializer to the object store."""
    namespace = cluster.place.serving
    if cluster.service is None:
        return skipped(f"there is no InferenceService {cluster.place.name} in namespace {namespace} yet")
    name = text(cluster.service, "spec", "predictor", "serviceAccountName", default="default")
    account = cluster.api.find(SERVICE_ACCOUNTS, namespace, name)
    if account is None:
        return wrong(f"there is no ServiceAccount {name} in namespace {namespace}", _APPLY)
    for secret in filter(None, (text(item, "name") for item in items(account, "secrets"))):
        found = cluster.api.find(SECRETS, namespace, secret)
        if found is None:
            return wrong(f"ServiceAccount {name} names a Secret {secret} that is not there", _APPLY)
        notes = {**table(account, "metadata", "annotations"), **table(found, "metadata", "annotations")}
        if notes.get(_ENDPOINT):
            return _annotations(cluster, Attached(name, secret, notes))
    return wrong(
        f"ServiceAccount {name} in namespace {namespace} has no Secret with the annotation {_ENDPOINT}",
        f"attach one under `secrets:` and annotate it, or {_APPLY}",
    )


def check_runs_account(cluster: Cluster) -> Result:
    """Whether the account that the runs' pods have is there: without it no pod of a run is made."""
    namespace, name = cluster.place.runs, cluster.settings.service_account
    if name is None:
        return skipped("which ServiceAccount the runs have: --settings names it (service_account)")
    if cluster.api.find(SERVICE_ACCOUNTS, namespace, name) is None:
        return wrong(f"there is no ServiceAccount {name} in namespace {namespace}, which service_account names", _APPLY)
    return ok(f"ServiceAccount {name} is in namespace {namespace}")


def check_executor(cluster: Cluster) -> Result:
    """Whether the account is there that Argo's containers in the runs' pods speak with, and its token."""
    import yaml

    config = cluster.api.find(CONFIG_MAPS, KUBEFLOW, _CONTROLLER)
    try:
        defaults = yaml.safe_load(text(config, "data", "workflowDefaults"))
    except yaml.YAMLError:
        return wrong(f"workflowDefaults of ConfigMap {_CONTROLLER} in namespace {KUBEFLOW} is not YAML", _APPLY)
    name = text(defaults, "spec", "executor", "serviceAccountName")
    if not name:
        return skipped(f"an account of Argo's executor: ConfigMap {_CONTROLLER} names none, so it has the runs' own")
    namespace = cluster.place.runs
    account = cluster.api.find(SERVICE_ACCOUNTS, namespace, name)
    if account is None:
        return wrong(
            f"there is no ServiceAccount {name} in namespace {namespace}, which ConfigMap {_CONTROLLER} names: no pod "
            "of a run starts",
            _APPLY,
        )
    secret = text(account, "metadata", "annotations", _ACCOUNT_ANNOTATION, default=f"{name}.service-account-token")
    if not (cluster.secret(namespace, secret) or {}).get("token"):
        return wrong(
            f"there is no Secret {secret} with a token in namespace {namespace}, which Argo's executor speaks with: no "
            "pod of a run starts",
            _APPLY,
        )
    return ok(f"Argo's executor speaks with the token of Secret {secret}")


def check_launcher(cluster: Cluster) -> Result:
    """Whether KFP keeps the artifacts of runs in the object store that ranklift uses."""
    import yaml

    namespace = cluster.place.runs
    found = cluster.api.find(CONFIG_MAPS, namespace, "kfp-launcher")
    if found is None:
        return wrong(
            f"there is no ConfigMap kfp-launcher in namespace {namespace}: artifacts go to KFP's own store", _APPLY
        )
    root = text(found, "data", "defaultPipelineRoot")
    if not root.startswith("s3://"):
        return wrong(f"defaultPipelineRoot of ConfigMap kfp-launcher is {root!r}", "set it to s3://ranklift/runs")
    try:
        providers = yaml.safe_load(text(found, "data", "providers"))
    except yaml.YAMLError:
        return wrong("providers of ConfigMap kfp-launcher is not YAML", _APPLY)
    return _provider(cluster, namespace, root, table(providers, "s3", "default"))


def _provider(cluster: Cluster, namespace: str, root: str, provider: dict[str, Any]) -> Result:
    endpoint = text(provider, "endpoint")
    if not endpoint:
        return wrong("ConfigMap kfp-launcher names no endpoint for s3: runs look for AWS itself", _APPLY)
    reference = table(provider, "credentials", "secretRef")
    name = text(reference, "secretName")
    if not name:
        return wrong("ConfigMap kfp-launcher names no Secret with the keys (credentials.secretRef)", _APPLY)
    keys = dict(zip((text(reference, "accessKeyKey"), text(reference, "secretKeyKey")), KEYS, strict=True))
    values = _values(cluster, namespace, name, keys)
    if isinstance(values, Result):
        return values
    if "://" not in endpoint:
        endpoint = f"{'http' if provider.get('disableSSL') is True else 'https'}://{endpoint}"
    bucket, folder = urlsplit(root).netloc, urlsplit(root).path.strip("/")
    where = StorePlace(endpoint, bucket, text(provider, "region", default="us-east-1"))
    key = f"{folder}/{_PROBE}".lstrip("/")
    result = cluster.try_keys(where.settings(*values), f"{namespace}/{name}", key)
    if result.state != "ok":
        return result
    return ok(f"artifacts of runs go to {root} at {endpoint}, which takes its keys")


def _annotations(cluster: Cluster, attached: Attached) -> Result:
    endpoint, secret = attached.notes[_ENDPOINT], attached.secret
    if "://" in endpoint:
        return wrong(
            f"annotation {_ENDPOINT} of Secret {secret} is {endpoint}, and KServe puts a scheme before it",
            f"write it as {endpoint.split('://')[1]}, and say in {_HTTPS} whether it is https (1 or 0)",
        )
    store = cluster.settings.object_store
    if store is not None and store.endpoint.startswith("http://") and attached.endpoint.startswith("https://"):
        return wrong(
            f"Secret {secret} has no {_HTTPS}: 0, so KServe speaks https to {endpoint}, which speaks http",
            f'annotate it with {_HTTPS}: "0"',
        )
    namespace = cluster.place.serving
    values = _values(cluster, namespace, secret, dict(zip(KEYS, KEYS, strict=True)))
    if isinstance(values, Result):
        return values
    settings = attached.place(cluster.bucket).settings(*values)
    result = cluster.try_keys(settings, f"{namespace}/{secret}", f"models/{_PROBE}")
    return ok(f"the predictor reads {endpoint} with Secret {secret}") if result.state == "ok" else result


def _values(cluster: Cluster, namespace: str, name: str, keys: dict[str, str]) -> tuple[str, str] | Result:
    """Both keys of a Secret; what is wrong when it lacks them. `keys` says which key is which variable."""
    data = cluster.secret(namespace, name)
    if data is None:
        return wrong(
            f"there is no Secret {name} in namespace {namespace}",
            f"`kubectl create secret generic {name} -n {namespace} --from-literal=AWS_ACCESS_KEY_ID=… "
            "--from-literal=AWS_SECRET_ACCESS_KEY=…`",
        )
    missing = [key for key in keys if not data.get(key)]
    if missing:
        named = ", ".join(filter(None, missing)) or "key by the names that kfp-launcher should say"
        return wrong(f"Secret {name} in namespace {namespace} has no {named}", "add what is missing")
    named_values = {variable: data[key] for key, variable in keys.items()}
    lacking = [variable for variable in KEYS if variable not in named_values]
    if lacking:
        return wrong(f"the settings name no key of Secret {name} for {', '.join(lacking)}", "add it under `keys:`")
    return named_values[KEYS[0]], named_values[KEYS[1]]


CHECKS = (
    Check("keys for the runs", check_runs_secret),
    Check("account of the runs", check_runs_account),
    Check("account of Argo's executor", check_executor),
    Check("keys for the predictor", check_serving_account),
    Check("KFP's launcher", check_launcher),
)

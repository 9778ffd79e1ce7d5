"""Who may reach the object store: the Secrets and ServiceAccounts of each namespace, and KFP's launcher."""

from typing import Any

from urllib3.exceptions import HTTPError

from components.object_store import ObjectStore
from components.object_store_faults import KEY_CODES, RefusedError
from pipeline.doctor.cluster import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, Cluster
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ENDPOINT = "serving.kserve.io/s3-endpoint"
_HTTPS = "serving.kserve.io/s3-usehttps"
_APPLY = "`kubectl apply -k` the overlay of manifests/ again"


def check_runs_secret(cluster: Cluster) -> Result:
    """Whether the pipeline's pods find the object store's keys."""
    store, namespace = cluster.settings.object_store, cluster.place.runs
    name = store.secret if store is not None else "ranklift-object-store"
    keys = tuple(store.keys) if store is not None else _KEYS
    names = dict(store.keys) if store is not None else dict(zip(_KEYS, _KEYS, strict=True))
    return _secret(cluster, namespace, name, keys, names)


def check_serving_account(cluster: Cluster) -> Result:
    """Whether the predictor's ServiceAccount leads KServe's storage initializer to the object store."""
    namespace = cluster.place.serving
    if cluster.service is None:
        return skipped(f"There is no InferenceService {cluster.place.name} in namespace {namespace} yet.")
    name = cluster.service["spec"].get("predictor", {}).get("serviceAccountName", "default")
    account = cluster.api.find(SERVICE_ACCOUNTS, namespace, name)
    if account is None:
        return wrong(f"there is no ServiceAccount {name} in namespace {namespace}", _APPLY)
    attached = [item["name"] for item in account.get("secrets", [])]
    for secret in attached:
        found = cluster.api.find(SECRETS, namespace, secret)
        if found is None:
            return wrong(f"ServiceAccount {name} names a Secret {secret} that is not there", _APPLY)
        notes = {**account["metadata"].get("annotations", {}), **found["metadata"].get("annotations", {})}
        if _ENDPOINT in notes:
            return _annotations(cluster, secret, notes)
    return wrong(
        f"ServiceAccount {name} in namespace {namespace} has no Secret with the annotation {_ENDPOINT}",
        f"attach one under `secrets:` and annotate it, or {_APPLY}",
    )


def check_launcher(cluster: Cluster) -> Result:
    """Whether KFP keeps the artifacts of runs in the object store that ranklift uses."""
    import yaml

    namespace = cluster.place.runs
    found = cluster.api.find(CONFIG_MAPS, namespace, "kfp-launcher")
    if found is None:
        return wrong(
            f"there is no ConfigMap kfp-launcher in namespace {namespace}: artifacts go to KFP's own store", _APPLY
        )
    root = found.get("data", {}).get("defaultPipelineRoot", "")
    if not root.startswith("s3://"):
        return wrong(f"defaultPipelineRoot of ConfigMap kfp-launcher is {root!r}", "set it to s3://ranklift/runs")
    try:
        providers = yaml.safe_load(found["data"].get("providers", "")) or {}
    except yaml.YAMLError:
        return wrong("providers of ConfigMap kfp-launcher is not YAML", _APPLY)
    return _provider(cluster, namespace, root, providers.get("s3", {}).get("default", {}))


def _provider(cluster: Cluster, namespace: str, root: str, provider: dict[str, Any]) -> Result:
    endpoint = provider.get("endpoint", "")
    if not endpoint:
        return wrong("ConfigMap kfp-launcher names no endpoint for s3: runs look for AWS itself", _APPLY)
    reference = provider.get("credentials", {}).get("secretRef", {})
    if not reference.get("secretName"):
        return wrong("ConfigMap kfp-launcher names no Secret with the keys (credentials.secretRef)", _APPLY)
    keys = (reference.get("accessKeyKey", ""), reference.get("secretKeyKey", ""))
    result = _secret(cluster, namespace, reference["secretName"], keys, dict(zip(keys, _KEYS, strict=True)))
    return ok(f"artifacts of runs go to {root} at {endpoint}") if result.state == "ok" else result


def _annotations(cluster: Cluster, secret: str, notes: dict[str, str]) -> Result:
    endpoint = notes[_ENDPOINT]
    if "://" in endpoint:
        return wrong(
            f"annotation {_ENDPOINT} of Secret {secret} is {endpoint}, and KServe puts a scheme before it",
            f"write it as {endpoint.split('://')[1]}, and say in {_HTTPS} whether it is https (1 or 0)",
        )
    store = cluster.settings.object_store
    if store is not None and store.endpoint.startswith("http://") and notes.get(_HTTPS, "1") == "1":
        return wrong(
            f"Secret {secret} has no {_HTTPS}: 0, so KServe speaks https to {endpoint}, which speaks http",
            f'annotate it with {_HTTPS}: "0"',
        )
    result = _secret(cluster, cluster.place.serving, secret, _KEYS, dict(zip(_KEYS, _KEYS, strict=True)))
    return ok(f"the predictor reads {endpoint} with Secret {secret}") if result.state == "ok" else result


def _secret(cluster: Cluster, namespace: str, name: str, keys: tuple[str, ...], names: dict[str, str]) -> Result:
    data = cluster.secret(namespace, name)
    if data is None:
        return wrong(
            f"there is no Secret {name} in namespace {namespace}",
            f"`kubectl create secret generic {name} -n {namespace} --from-literal=AWS_ACCESS_KEY_ID=… "
            "--from-literal=AWS_SECRET_ACCESS_KEY=…`",
        )
    missing = [key for key in keys if not data.get(key)]
    if missing:
        return wrong(f"Secret {name} in namespace {namespace} has no {', '.join(missing)}", "add what is missing")
    return _tried(cluster, namespace, name, {names[key]: data[key] for key in keys})


def _tried(cluster: Cluster, namespace: str, name: str, values: dict[str, str]) -> Result:
    """Whether the store takes the keys of a Secret."""
    if cluster.store is None:
        return ok(f"Secret {name} in namespace {namespace} has the keys (not tried: RANKLIFT_S3_ENDPOINT is not set)")
    fields = {"access_key": values["AWS_ACCESS_KEY_ID"], "secret_key": values["AWS_SECRET_ACCESS_KEY"]}
    settings = type(cluster.store).of(**{**cluster.store.model_dump(exclude={"session_token"}), **fields})
    try:
        ObjectStore(settings).request("GET", "champion.json")
    except RefusedError as error:
        # Keys that the store knows may well not be allowed to read this: the predictor's see models alone.
        if error.code in KEY_CODES:
            return wrong(
                f"the object store at {settings.endpoint} does not know the keys of Secret {name} in namespace "
                f"{namespace} ({error.code})",
                "write the keys that the store has into it",
            )
    except HTTPError as error:
        return skipped(f"The keys of Secret {name} were not tried: {settings.endpoint} did not answer ({error}).")
    return ok(f"the object store takes the keys of Secret {name} in namespace {namespace}")


CHECKS = (
    Check("keys for the runs", check_runs_secret),
    Check("keys for the predictor", check_serving_account),
    Check("KFP's launcher", check_launcher),
)

"""The object store of a cluster's registry: endpoint, bucket and keys as the cluster names them, and a way to it."""

import base64
import binascii
import re
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from components.deploy.cluster.inference_service import revision_of
from components.errors import RankliftError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.fields import field, items, table, text
from components.kubernetes.forward import PodForward
from components.kubernetes.kinds import ENDPOINT_SLICES, SECRETS, SERVICE_ACCOUNTS, SERVICES, Manifest
from components.object_store.faults import RouteError
from components.object_store.route import Dial
from components.object_store.settings import ObjectStoreSettings
from pipeline.settings.file import PipelineSettings

STAGES_KEYS = "ranklift-object-store"  #: the Secret with the keys of the stages, as manifests/ has it
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
S3 = "serving.kserve.io/s3-"  #: how KServe's annotations about an object store begin

_SERVICE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(\.svc(\.[a-z0-9.-]+)?)?\.?")
_SESSION = "AWS_SESSION_TOKEN"
_PORTS = {"http": 80, "https": 443}
_SETTINGS = "name it with --settings stages.yaml (object_store)"


class Place(NamedTuple):
    """Where in a cluster to look."""

    serving: str  #: namespace of the InferenceService
    name: str  #: of the InferenceService
    runs: str  #: namespace of the pipeline's pods


class StoreAccess(NamedTuple):
    """An object store, and the Secret with the keys to it."""

    settings: ObjectStoreSettings
    secret: str  #: NAMESPACE/NAME

    def __str__(self) -> str:
        return f"bucket {self.settings.bucket} at {self.settings.endpoint}, with the keys of Secret {self.secret}"


class Attached(NamedTuple):
    """The Secret that a predictor's ServiceAccount carries, and what annotations say about the store."""

    account: str
    secret: str
    notes: Mapping[str, str]  #: of the ServiceAccount, the Secret's over them

    @property
    def endpoint(self) -> str:
        """With the scheme that KServe puts before it."""
        scheme = "https" if self.notes.get(f"{S3}usehttps", "1") == "1" else "http"
        return f"{scheme}://{self.notes.get(f'{S3}endpoint', '')}"

    def place(self, bucket: str) -> "StorePlace":
        """Where the store of a bucket is."""
        virtual = self.notes.get(f"{S3}usevirtualbucket", "false") in {"1", "true"}
        return StorePlace(self.endpoint, bucket, self.notes.get(f"{S3}region", "us-east-1"), virtual)


class StorePlace(NamedTuple):
    """Where a store is, without keys."""

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    virtual_host: bool = False

    def settings(
        self, access_key: str, secret_key: str, session_token: str | None = None, origin: str = ""
    ) -> ObjectStoreSettings:
        """How a client reaches it with keys.

        All that this machine's environment could fill is said here, but what is about this machine: time-outs, trust.
        `origin` is the Secret that the keys are from, as an error names it.
        """
        return ObjectStoreSettings.of(
            **self._asdict(),
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            keys_from=f"Secret {origin}" if origin else "",
        )


def store_access(
    api: KubernetesApi, place: Place, settings: PipelineSettings | None, service: Manifest | None
) -> StoreAccess:
    """Return the store that the settings name, else the InferenceService's.

    Raises:
        RankliftError: when neither names one, or the Secret is missing, or may not be read.
    """
    where = store_place(api, place, settings, service)
    stated = settings.object_store if settings is not None else None
    if stated is not None:
        return _access(api, place.runs, stated.secret, stated.keys, where)
    same = dict(zip(KEYS, KEYS, strict=True))
    # The pipeline's keys may read the champion and write; those of the predictor may read models alone.
    if api.find(SECRETS, place.runs, STAGES_KEYS) is not None:
        return _access(api, place.runs, STAGES_KEYS, same, where)
    attached = attached_secret(api, place.serving, service) if service is not None else None
    return _access(api, place.serving, attached.secret if attached else STAGES_KEYS, same, where)


def store_place(
    api: KubernetesApi, place: Place, settings: PipelineSettings | None, service: Manifest | None
) -> StorePlace:
    """Where the settings' store is, else the InferenceService's.

    Raises:
        RankliftError: when neither names one, or what names it may not be read.
    """
    stated = settings.object_store if settings is not None else None
    if stated is not None:
        return StorePlace(stated.endpoint, stated.bucket, stated.region)
    if service is None:
        raise RankliftError(
            f"There is no InferenceService {place.name} in namespace {place.serving} of the cluster at {api.host} that "
            f"says where the registry is; {_SETTINGS}."
        )
    attached = attached_secret(api, place.serving, service)
    bucket = urlsplit(revision_of(service).storage_uri).netloc
    if attached is None or not bucket:
        raise RankliftError(
            f"InferenceService {place.name} in namespace {place.serving} does not say where the registry is: it needs "
            f"an s3:// STORAGE_URI, and its ServiceAccount a Secret with the annotation {S3}endpoint; or {_SETTINGS}."
        )
    return attached.place(bucket)


def attached_secret(api: KubernetesApi, namespace: str, service: Manifest) -> Attached | None:
    """Return the first Secret of the predictor's ServiceAccount that names an endpoint; None when none does.

    Raises:
        KubernetesError: when something that it names is missing, or may not be read.
    """
    name = text(service, "spec", "predictor", "serviceAccountName", default="default")
    account = api.get(SERVICE_ACCOUNTS, namespace, name)
    for secret in filter(None, (text(item, "name") for item in items(account, "secrets"))):
        found = api.get(SECRETS, namespace, secret)
        notes = {**table(account, "metadata", "annotations"), **table(found, "metadata", "annotations")}
        if notes.get(f"{S3}endpoint"):
            return Attached(name, secret, notes)
    return None


def secret_values(secret: Manifest) -> dict[str, str]:
    """Return a Secret's data, decoded; without what is not base64."""
    values = {}
    for name, value in table(secret, "data").items():
        try:
            values[name] = base64.b64decode(value).decode("utf-8", "replace")
        except (binascii.Error, TypeError, ValueError):
            continue  # missing, for who looks for it
    return values


def way_to(api: KubernetesApi, forward: PodForward, endpoint: str) -> Dial | None:
    """How to connect to an endpoint that is a Service of the cluster; None where it is reached as any other host."""
    url = urlsplit(endpoint)
    match = _SERVICE.fullmatch(url.hostname or "")
    if api.inside or match is None:
        return None
    namespace, name, port = match["namespace"], match["name"], url.port or _PORTS[url.scheme]
    service = api.find(SERVICES, namespace, name)
    if service is None and match[3] is None:
        return None  # a host of two parts, such as store.example

    def dial() -> socket.socket:
        try:
            return forward.connect(namespace, *_ready_pod(api, namespace, name, port))
        except KubernetesError as error:
            if error.status in {401, 403}:
                raise
            raise RouteError(str(error).rstrip(".")) from None

    return dial


def _access(api: KubernetesApi, namespace: str, name: str, keys: Mapping[str, str], where: StorePlace) -> StoreAccess:
    values = secret_values(api.get(SECRETS, namespace, name))
    named = {variable: values.get(key, "") for key, variable in keys.items()}
    missing = [variable for variable in KEYS if not named.get(variable)]
    if missing:
        raise RankliftError(f"Secret {name} in namespace {namespace} has no {' and no '.join(missing)}; add it.")
    secret = f"{namespace}/{name}"
    return StoreAccess(where.settings(named[KEYS[0]], named[KEYS[1]], named.get(_SESSION) or None, secret), secret)


def _ready_pod(api: KubernetesApi, namespace: str, name: str, port: int) -> tuple[str, int]:
    """Return a pod behind a Service that is ready, and its port."""
    ports = items(api.get(SERVICES, namespace, name), "spec", "ports")
    wanted = [text(item, "name") for item in ports if item.get("port") == port]
    for found in api.select(ENDPOINT_SLICES, namespace, f"kubernetes.io/service-name={name}") if wanted else []:
        numbers = [item.get("port") for item in items(found, "ports") if text(item, "name") == wanted[0]]
        for endpoint in items(found, "endpoints"):
            pod = text(endpoint, "targetRef", "name")
            # No word of readiness is to be taken for ready, says the API.
            if pod and field(endpoint, "conditions", "ready") is not False and numbers and numbers[0]:
                return pod, int(numbers[0])
    lacks = "has no pod that is ready" if wanted else f"has no port {port}"
    raise RouteError(f"Service {name} in namespace {namespace} {lacks}; look at `kubectl get pods -n {namespace}`")

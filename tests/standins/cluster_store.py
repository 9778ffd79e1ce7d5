"""An object store of this machine as a cluster has it: Service, pod, Secrets, ServiceAccount, and a way to the pod."""

import base64
from typing import Any
from urllib.parse import urlsplit

from components.object_store.settings import ObjectStoreSettings
from tests.standins.kubernetes_state import Cluster

HOST = "object-store.ranklift-store.svc.cluster.local"
ENDPOINT = f"http://{HOST}:9000"
POD = ("ranklift-store", "object-store-0", 9000)


def put_store(cluster: Cluster, settings: ObjectStoreSettings, scheme: str = "http") -> None:
    """Put all of it into a cluster."""
    url = urlsplit(settings.endpoint)
    cluster.forwards[POD] = (url.hostname or "", url.port or 0)
    for plural, item in store_objects(keys_of(settings), "0" if scheme == "http" else "1"):
        cluster.put(plural, item)


def keys_of(settings: ObjectStoreSettings) -> dict[str, str]:
    """The keys as a Secret of ours names them."""
    keys = {"AWS_ACCESS_KEY_ID": settings.access_key, "AWS_SECRET_ACCESS_KEY": settings.secret_key}
    return {name: key.get_secret_value() for name, key in keys.items() if key is not None}


def store_objects(keys: dict[str, str], https: str = "0") -> list[tuple[str, dict[str, Any]]]:
    """What Kubernetes knows of the store, as (plural, object)."""
    notes = {"serving.kserve.io/s3-endpoint": f"{HOST}:9000", "serving.kserve.io/s3-usehttps": https}
    slice_ = {
        "metadata": {
            "name": "object-store-x1", "namespace": "ranklift-store",
            "labels": {"kubernetes.io/service-name": "object-store"},
        },
        "ports": [{"name": "s3", "port": 9000}],
        "endpoints": [
            {"conditions": {"ready": False}, "targetRef": {"kind": "Pod", "name": "object-store-1"}},
            {"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "object-store-0"}},
        ],
    }  # fmt: skip
    service = {"metadata": {"name": "object-store", "namespace": "ranklift-store"}}
    account = {"metadata": {"name": "ranklift-predictor", "namespace": "ranklift"}}
    return [
        ("services", service | {"spec": {"ports": [{"name": "s3", "port": 9000, "targetPort": "s3"}]}}),
        ("endpointslices", slice_),
        ("serviceaccounts", account | {"secrets": [{"name": "ranklift-predictor-s3"}]}),
        ("secrets", secret("ranklift-predictor-s3", "ranklift", keys, notes)),
        ("secrets", secret("ranklift-object-store", "kubeflow", keys)),
    ]


def secret(name: str, namespace: str, keys: dict[str, str], notes: dict[str, str] | None = None) -> dict[str, Any]:
    """A Secret with these keys."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return {"metadata": {"name": name, "namespace": namespace, "annotations": notes or {}}, "data": data}

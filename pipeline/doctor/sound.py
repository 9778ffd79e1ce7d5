"""The cluster's API, whose answers have what every reader of them relies on, whatever the cluster leaves out.

Kubernetes may leave out any field, and an object that somebody wrote by hand lacks more. Deploy's readers of an
InferenceService and of pods look up names and types; here those are empty in place of missing.
"""

from typing import Any

from components.kubernetes.api import KubernetesApi
from components.kubernetes.kinds import Kind, Manifest

#: Lists whose entries are looked up by a field, and that field.
_KEYED = {
    "conditions": "type", "containers": "name", "initContainers": "name", "containerStatuses": "name",
    "initContainerStatuses": "name", "env": "name",
}  # fmt: skip


class SoundApi(KubernetesApi):
    """A cluster for doctor, which has to tell what is wrong with an object and so must not stumble over it."""

    def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        """One object, made sound."""
        return sound(super().get(kind, namespace, name), namespace, name)

    def select(self, kind: Kind, namespace: str | None = None, labels: str = "", *, fields: str = "") -> list[Manifest]:
        """All objects of a kind, made sound."""
        return [sound(item, namespace) for item in super().select(kind, namespace, labels, fields=fields)]


def sound(item: Manifest, namespace: str | None, name: str = "(no name)") -> Manifest:
    """Return a copy of an object with `metadata` and `spec`, and with a key in every entry that is looked up by it."""
    whole = {part: _keyed(value, part) for part, value in item.items()}
    meta = {"name": name, "namespace": namespace or "", **_fields(whole.get("metadata"))}
    spec = {"containers": [], "predictor": {}, **_fields(whole.get("spec"))}
    canaries = [_fields(one) for one in spec.get("canary", [])]
    if canaries:
        spec["canary"] = [{**one, "predictor": _fields(one.get("predictor"))} for one in canaries]
    return {**whole, "metadata": meta, "spec": spec}


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _keyed(value: Any, field: str = "") -> Any:
    """Return a copy in which the entries of the list under a field have what they are looked up by."""
    if isinstance(value, dict):
        return {name: _keyed(item, name) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    defaults = {_KEYED[field]: ""} if field in _KEYED else {}
    if field == "conditions":
        defaults["status"] = "Unknown"
    entries = (item for item in value if item is not None)
    return [{**defaults, **_keyed(item)} if isinstance(item, dict) else item for item in entries]

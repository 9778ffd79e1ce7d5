"""Reading objects of Kubernetes in which any field may be missing, null, or of another kind than its schema says."""

from collections.abc import Mapping
from typing import Any

from components.kubernetes.kinds import Manifest


def field(item: Any, *path: str) -> Any:
    """Return what lies at a path of fields; None where any of them is missing."""
    for name in path:
        if not isinstance(item, Mapping):
            return None
        item = item.get(name)
    return item


def text(item: Any, *path: str, default: str = "") -> str:
    """Return the text at a path; `default` where there is none."""
    found = field(item, *path)
    return found if isinstance(found, str) and found else default


def table(item: Any, *path: str) -> Manifest:
    """Return the fields below a path; empty where there are none."""
    found = field(item, *path)
    return dict(found) if isinstance(found, Mapping) else {}


def items(item: Any, *path: str) -> list[Manifest]:
    """Return the objects of the list at a path; empty where there is none."""
    found = field(item, *path)
    return [dict(one) for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def names(item: Any, *path: str) -> list[str]:
    """Return the texts of the list at a path; empty where there is none."""
    found = field(item, *path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def condition(item: Any, kind: str, *path: str) -> Manifest:
    """Return the condition of a kind in an object's status, or in the list at a path; empty where nobody wrote it."""
    found = items(item, *(path or ("status", "conditions")))
    return next((one for one in found if one.get("type") == kind), {})


def name_of(item: Any) -> str:
    """Return an object's name; "(no name)" where it has none."""
    return text(item, "metadata", "name", default="(no name)")

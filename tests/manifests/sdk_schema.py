"""A document against an SDK's generated models: no unknown field, and every value of its field's type."""

import re
from typing import Any

import kserve.models
import kubernetes.client.models

_PRIMITIVES = {"str": str, "int": int, "float": (int, float), "bool": bool}


def faults(value: Any, type_name: str, path: str = "") -> list[str]:
    """What is wrong with a value of an SDK's type; empty when nothing is."""
    if value is None or type_name in ("object", "datetime"):
        return []
    if listed := re.fullmatch(r"list\[(.+)\]", type_name):
        items = enumerate(value) if isinstance(value, list) else None
    elif listed := re.fullmatch(r"dict[\[(]str, (.+)[\])]", type_name):
        items = value.items() if isinstance(value, dict) else None
    if listed:
        if items is None:
            return [f"{path}: {value!r} is not a {type_name}"]
        return [fault for key, item in items for fault in faults(item, listed[1], f"{path}.{key}")]
    if type_name not in _PRIMITIVES:
        return _model_faults(value, _model(type_name), path)
    right = isinstance(value, _PRIMITIVES[type_name]) and (type_name == "bool" or not isinstance(value, bool))
    return [] if right else [f"{path}: {value!r} is not of type {type_name}"]


def _model_faults(value: Any, model: type, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not a {model.__name__}"]
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    found = [f"{path}.{name}: {model.__name__} has no such field" for name in value if name not in attributes]
    for name, item in value.items():
        if name in attributes:
            found += faults(item, model.openapi_types[attributes[name]], f"{path}.{name}")
    try:
        # The models refuse what is required and missing.
        model(**{attributes[name]: item for name, item in value.items() if name in attributes})
    except ValueError as error:
        found.append(f"{path}: {error}")
    return found


def _model(type_name: str) -> type:
    """The class of a type; KServe's SDK names some of Kubernetes' types by their package."""
    short = re.sub(r"^K8sIo\w*?(?=V\d)", "", type_name)
    for models, name in ((kserve.models, type_name), (kubernetes.client.models, short)):
        if hasattr(models, name):
            return getattr(models, name)
    raise AssertionError(f"no SDK has a model {type_name}")

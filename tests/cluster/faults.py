"""Faults planted on a cluster: each a block in which something is wrong, and after which all is as it was before."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from components.object_store.client import ObjectStore
from tests.cluster.kubectl import Document, Kubectl, until

_SERVERS = ("creationTimestamp", "generation", "resourceVersion", "uid")  # fields that only the API server writes


class Site(NamedTuple):
    """Where faults are planted."""

    kubectl: Kubectl
    store: ObjectStore
    settings: Path  #: of the stages, as doctor reads them on the healthy cluster
    folder: Path  #: for files of a test


#: Plants a fault for the length of a block; yields what doctor is asked with beside its usual arguments.
Plant = Callable[[Site], AbstractContextManager[tuple[str, ...]]]
#: Whether the cluster has come to a state.
State = Callable[[Kubectl], bool]


def asked(*arguments: str) -> Plant:
    """Nothing is planted on the cluster: doctor is asked with what is wrong."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        yield arguments

    return plant


def stated(change: Callable[[Document], object]) -> Plant:
    """Settings of the stages in which something is wrong."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        document = yaml.safe_load(site.settings.read_text(encoding="utf-8"))
        change(document)
        path = site.folder / "stages.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        yield "--settings", str(path)

    return plant


def removed(kind: str, namespace: str, name: str) -> Plant:
    """An object that somebody deleted."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        with _kept(site.kubectl, kind, namespace, name):
            site.kubectl("delete", kind, name, *_within(namespace))
            yield ()

    return plant


def edited(kind: str, namespace: str, name: str, change: Callable[[Document], object]) -> Plant:
    """An object that somebody changed."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        with _kept(site.kubectl, kind, namespace, name) as was:
            document = copy.deepcopy(was)
            change(document)
            site.kubectl("replace", "-f", "-", stdin=json.dumps(document))
            yield ()

    return plant


def added(*documents: Document) -> Plant:
    """Objects that should not be there."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        together = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        try:
            site.kubectl("create", "-f", "-", stdin=together)
            yield ()
        finally:
            site.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=together)

    return plant


def stored(key: str, data: bytes) -> Plant:
    """An object of the store that somebody wrote over."""

    @contextmanager
    def plant(site: Site) -> Iterator[tuple[str, ...]]:
        was = site.store.get(key).content
        site.store.put(key, data)
        try:
            yield ()
        finally:
            site.store.put(key, was)

    return plant


def awaited(plant: Plant, shows: State, over: State) -> Plant:
    """A fault that the cluster shows after a while, and is rid of a while after it was repaired.

    Args:
        plant: of the fault.
        shows: whether the cluster shows it.
        over: whether all is well again.
    """

    @contextmanager
    def patient(site: Site) -> Iterator[tuple[str, ...]]:
        try:
            with plant(site) as arguments:
                until(lambda: shows(site.kubectl), 90, "the fault that was planted")
                yield arguments
        finally:
            until(lambda: over(site.kubectl), 180, "a cluster that is well again")

    return patient


@contextmanager
def _kept(kubectl: Kubectl, kind: str, namespace: str, name: str) -> Iterator[Document]:
    """An object as it is now, and as it is again after the block, whoever changed or deleted it meanwhile."""
    was = kubectl.json("get", kind, name, *_within(namespace))
    for field in _SERVERS:
        was["metadata"].pop(field, None)
    try:
        yield was
    finally:
        # Not `apply`, which would leave what somebody added.
        there = kubectl.attempt("get", kind, name, *_within(namespace)).returncode == 0
        kubectl("replace" if there else "create", "-f", "-", stdin=json.dumps(was))


def _within(namespace: str) -> tuple[str, ...]:
    return ("-n", namespace) if namespace else ()

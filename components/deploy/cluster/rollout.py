"""One InferenceService while one deploy changes it: read, change when nobody else did meanwhile, watch, ask."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from components.deploy.cluster.inference_service import (
    Revision,
    address_of,
    canary_of,
    newest_number,
    revision_of,
    service_name,
)
from components.deploy.cluster.patches import MANAGER
from components.deploy.settings import ServingSettings
from components.deploy.smoke import NotAnsweredError, index_that_answers, post, version_that_answers
from components.errors import RankliftError
from components.kubernetes.account import in_a_pod
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import INFERENCE_SERVICES, Manifest
from components.machine.patience import further_waits, tell_wait
from components.model.served import MODEL_NAME

_ANSWER_WITHIN = 10.0  # seconds
_STREAK = 5  # answers in a row, each on a new connection: no previous pod may answer
_AWAY = 120.0  # seconds: a control plane that is restarted is back by then
_CHANGES = 20  # attempts to change an object that others change at the same time: KServe writes its status often
_T = TypeVar("_T")


class SupersededError(Exception):
    """A later champion is being deployed, or was: this deploy steps aside."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version


class Rollout:
    """The InferenceService that the settings name.

    Args:
        api: the cluster.
        settings: namespace, name and how to reach the predictor.
        tick: seconds after which to look again when the cluster reports no change.
        inside: whether the cluster's own names can be reached from here; when this is a pod when None.
        settle: seconds between the gateway's word that it has a route, and its proxies having it.
        blind: seconds for both, where the Role does not allow to read routes.
    """

    def __init__(
        self,
        api: KubernetesApi,
        settings: ServingSettings,
        *,
        tick: int = 5,
        inside: bool | None = None,
        settle: float = 5.0,
        blind: float = 30.0,
    ) -> None:
        self.api = api
        self.settings = settings
        self.settle = settle
        self.blind = blind
        self._tick = tick
        self._inside = in_a_pod() if inside is None else inside

    def __str__(self) -> str:
        return f"InferenceService {self.settings.name} in namespace {self.settings.namespace}"

    def read(self) -> Manifest | None:
        """Return the object as it is; None when there is none. An API that is away is waited for as a store is."""
        return _patiently(self._find)

    def change(self, make: Callable[[Manifest], Manifest]) -> Manifest:
        """Apply what `make` makes of the object, again from the start whenever someone else changed it in between.

        Raises:
            RankliftError: when it is not there, or was changed each time.
        """
        for _ in range(_CHANGES):
            found = self.read()
            if found is None:
                raise RankliftError(f"There is no {self}; `kubectl apply -f kserve/inference-service.yaml` makes it.")
            try:
                return _patiently(partial(self.api.apply, INFERENCE_SERVICES, make(found), MANAGER))
            except KubernetesError as error:
                if error.status != 409:
                    raise
            time.sleep(random.uniform(0.01, 0.2))  # noqa: S311 - jitter, not a secret
        raise RankliftError(f"{self} was changed by others {_CHANGES} times in a row; run the deploy again.")

    def follow(self, service: Manifest, deadline: float) -> Iterator[Manifest]:
        """Yield the object now, after each of its changes, and at least every few seconds, until a monotonic time.

        Raises:
            RankliftError: when it is deleted, or the Role does not allow to watch it.
        """
        yield service
        while (left := deadline - time.monotonic()) > 0:
            try:
                for changed in self._changes(service, max(1, min(self._tick, int(left)))):
                    service = changed
                    yield service
                    if time.monotonic() > deadline:
                        return
            except KubernetesError as error:
                if error.status in {401, 403}:
                    raise
                # Too old a version to watch from (410), or an API that is away for a moment: look at the object anew.
                service = self._look_again(service)
            yield service

    def check_ours(self, service: Manifest, revision: Revision, canary: bool = False) -> None:
        """Raise when the object no longer asks for what this deploy put there.

        Raises:
            SupersededError: when a later champion took its place.
            RankliftError: when someone else changed it.
        """
        if newest_number(service) > revision.number:
            raise SupersededError((canary_of(service) or revision_of(service)).version)
        asked = canary_of(service) if canary else revision_of(service)
        if asked is None or asked.version != revision.version:
            there = asked.version if asked else "no canary"
            raise RankliftError(f"someone else changed {self} to {there} while {revision.version} was being deployed.")

    def prove(self, service: Manifest, version: str, digest: str, *, index: str = "", canary: bool = False) -> None:
        """Raise a NotAnsweredError unless the judged model answers, it alone, and its index is searched."""
        for _ in range(_STREAK):
            answered = self._ask(service, canary)
            if answered != version:
                raise NotAnsweredError(f"{address_of(service, canary)} still answers with {answered}.")
            if index and (searched := self._search(service, canary)) != index:
                raise NotAnsweredError(f"{address_of(service, canary)} still searches index {searched}.")
        # To load what is loaded already changes nothing, and tells the digest.
        loaded = self._post(service, canary, f"/v2/repository/models/{MODEL_NAME}/load", {})
        served = str(loaded.get("model_digest"))
        if served != digest:
            raise NotAnsweredError(
                f"{address_of(service, canary)} serves a model with digest {served[:12]}…, where {version} in the "
                f"registry has {digest[:12]}…: its STORAGE_URI is of another bucket, or its files were changed."
            )

    def answering(self, service: Manifest, index: str = "") -> str | None:
        """Return the version that answers now; None when nothing does, or another index than the one asked for."""
        try:
            version = self._ask(service, canary=False)
            return version if not index or self._search(service, canary=False) == index else None
        except NotAnsweredError:
            return None

    def _find(self) -> Manifest | None:
        return self.api.find(INFERENCE_SERVICES, self.settings.namespace, self.settings.name)

    def _ask(self, service: Manifest, canary: bool) -> str:
        where = address_of(service, canary)
        return version_that_answers(lambda path, document: self._post(service, canary, path, document), where)

    def _search(self, service: Manifest, canary: bool) -> str:
        where = address_of(service, canary)
        return index_that_answers(lambda path, document: self._post(service, canary, path, document), where)

    def _post(self, service: Manifest, canary: bool, path: str, document: Mapping[str, Any]) -> Manifest:
        given = self.settings.predictor_url
        if given and not canary:
            return post(given.rstrip("/"), path, document, _ANSWER_WITHIN, proxies=True)
        if self._inside:
            return post(address_of(service, canary), path, document, _ANSWER_WITHIN, proxies=True)
        namespace, name = service["metadata"]["namespace"], service_name(service, canary)
        try:
            return self.api.post_to_service(namespace, name, path, document, _ANSWER_WITHIN)
        except KubernetesError as error:
            if error.status == 403:
                raise  # waiting does not help
            raise NotAnsweredError(str(error)) from error

    def _changes(self, service: Manifest, seconds: int) -> Iterator[Manifest]:
        settings, version = self.settings, service["metadata"]["resourceVersion"]
        for event in self.api.watch(INFERENCE_SERVICES, settings.namespace, settings.name, version, seconds):
            if event["type"] == "DELETED":
                raise RankliftError(f"{self} was deleted while it was being changed.")
            if event["type"] in {"ADDED", "MODIFIED"}:
                yield event["object"]

    def _look_again(self, service: Manifest) -> Manifest:
        try:
            found = self._find()
        except KubernetesError as error:
            if error.status in {401, 403}:
                raise
            return service  # the API is away; the caller's deadline ends the waiting
        if found is None:
            raise RankliftError(f"{self} was deleted while it was being changed.")
        return found


def _patiently(call: Callable[[], _T]) -> _T:
    waits = further_waits(at_most=_AWAY)
    while True:
        try:
            return call()
        except KubernetesError as error:
            wait = next(waits, None) if error.may_pass else None
            if wait is None:
                raise
            tell_wait(str(error), wait)
        time.sleep(wait)

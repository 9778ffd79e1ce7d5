"""Deploy on a cluster: point the InferenceService at a version, prove that it answers, go back when it does not.

KServe's own signs do not suffice for the proof. In Standard mode `Ready` stays true through a rollout as long as pods
of before serve, and `observedGeneration` is that of the Deployment. What counts is that the new version answers, and
that nothing else does any more.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from components.deploy.inference_service import (
    Revision,
    canary_is_ready,
    canary_of,
    changed,
    complaint_of,
    has_failed,
    is_ready,
    newest_number,
    revision_of,
)
from components.deploy.pods import Finding, find_fault
from components.deploy.rollout import Rollout, SupersededError
from components.deploy.smoke import NotAnsweredError
from components.errors import RankliftError, StoppedError, StoreError
from components.kubernetes_api import KubernetesApi, KubernetesError, Manifest
from components.registry import Champion, Registry
from components.registry_version import is_version_name, key_of
from components.settings import ServingSettings
from components.stop_signals import StopSignals

_RESTORE_WITHIN = 120.0  # seconds; the pods of before are still there in most cases
_RESTORE_WHEN_STOPPED = 15.0  # Kubernetes kills a pod 30 s after SIGTERM; what was put back stays put back
Tell = Callable[[str], None]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def deploy_on_cluster(
    version: str,
    registry: Registry,
    settings: ServingSettings,
    *,
    number: int | None = None,
    rollout: Rollout | None = None,
    tell: Tell = _tell,
) -> str:
    """Put a version into service on a cluster; returns the version that is in service, or on its way there.

    Of deploys at the same time the one of the later champion wins: an earlier one finds it and steps aside. SIGTERM and
    SIGINT end it as a failure does, within seconds.

    Args:
        version: such as "V3"; one that is or was champion, or becomes it next.
        registry: where versions and champion are kept.
        settings: which InferenceService, how long to wait, and the canary.
        number: of the entry that the version is to have in the champion's history; the one that it has when None.
        rollout: the InferenceService; the one that the settings name when None.
        tell: shows one line of progress.

    Raises:
        RankliftError: with the reason, after what served before was put back; a StoppedError after a signal.
    """
    rollout = rollout or Rollout(KubernetesApi.connect(settings.kubernetes_context), settings)
    champion = registry.champion()
    revision, digest = _revision(version, registry, champion, number)
    service = rollout.read()
    if service is None:
        return _without_a_service(revision, rollout, tell)
    _check_history(service, champion, registry)
    with StopSignals() as signals:
        attempt = _Attempt(rollout, registry, revision, digest, rollout.answering(service), tell, signals)
        try:
            if settings.canary_percent and revision_of(service).version != version:
                attempt.try_canary()
            attempt.put()
        except SupersededError as later:
            tell(f"deploy: {later.version} became champion after {version}, and stays in service")
            return later.version
        except StoppedError as stopped:
            raise StoppedError(attempt.undone(stopped), stopped.signal) from stopped
        except RankliftError as error:
            raise RankliftError(attempt.undone(error)) from error
    tell(f"deploy: {version} answers at {rollout}")
    return version


@dataclass
class _Attempt:
    """What one deploy knows: what it wants, and what to go back to."""

    rollout: Rollout
    registry: Registry
    revision: Revision
    digest: str  #: of the model that was judged
    answering: str | None  #: the version that answered when this began
    tell: Tell
    signals: StopSignals
    before: Revision | None = None  #: what to go back to
    applied: bool = False

    def try_canary(self) -> None:
        """Send a part of the traffic to the new version, and have it answer for a while."""
        settings = self.rollout.settings
        self.tell(f"deploy: {settings.canary_percent} % of the traffic goes to {self.revision.version}")
        applied = self._apply(canary=True)
        self._wait(applied, canary=True)
        end = time.monotonic() + settings.canary_seconds
        for service in self.rollout.follow(applied, end):
            self._check_signals()
            self.rollout.check_ours(service, self.revision, canary=True)
            self._prove(service, canary=True)

    def put(self) -> None:
        """Send all traffic to the new version."""
        self.tell(f"deploy: all traffic goes to {self.revision.version}")
        self._wait(self._apply(canary=False), canary=False)

    def undone(self, error: RankliftError) -> str:
        """Put back what served before; one sentence more than the error's says what serves now."""
        return f"{self.revision.version} was not deployed: {error} {self.restore()}"

    def restore(self) -> str:
        """Put back what served before, unless a later deploy came meanwhile; one sentence that says what serves."""
        before = self.before
        if not self.applied:
            return "Nothing was changed."
        if before is None:
            return "There is no version to go back to."
        try:
            applied = self.rollout.change(lambda found: self._back(found, before))
            within = _RESTORE_WITHIN if self.signals.received is None else _RESTORE_WHEN_STOPPED
            end = time.monotonic() + min(within, self.rollout.settings.deploy_within)
            for service in self.rollout.follow(applied, end):
                if self.rollout.answering(service) == before.version:
                    return f"{before.version} serves again."
        except SupersededError as later:
            return f"{later.version} was deployed meanwhile and stays."
        except RankliftError as error:
            return f"{before.version} could not be put back ({error}); set STORAGE_URI to {before.storage_uri}."
        return f"{before.version} was put back, but does not answer; look at `kubectl get pods`."

    def _check_signals(self) -> None:
        self.signals.check("{signal} stopped it; run the deploy again.")

    def _apply(self, canary: bool) -> Manifest:
        self._check_signals()

        def make(found: Manifest) -> Manifest:
            if newest_number(found) > self.revision.number:
                raise SupersededError((canary_of(found) or revision_of(found)).version)
            stable = revision_of(found)
            self.before = self._fallback(stable)
            wanted = self.revision._replace(previous=self.before.version if self.before else "")
            if not canary:
                return changed(found, wanted)
            return changed(found, stable, wanted, self.rollout.settings.canary_percent)

        service = self.rollout.change(make)
        self.applied = True
        return service

    def _fallback(self, stable: Revision) -> Revision | None:
        """What to go back to: what answered when this began, else what was asked for before."""
        if self.answering == stable.version != self.revision.version:
            return stable
        for version in (self.answering, stable.version, stable.previous):
            if version == stable.version and version != self.revision.version:
                return stable
            if version and is_version_name(version) and version != self.revision.version:
                number = _number_of(version, self.registry.champion())
                sha256 = self.registry.stored_manifest("model", version).sha256
                return Revision(version, _uri_of(version, self.registry), number, manifest_sha256=sha256)
        return None

    def _wait(self, applied: Manifest, canary: bool) -> None:
        within = self.rollout.settings.deploy_within
        version, reason = self.revision.version, ""
        for service in self.rollout.follow(applied, time.monotonic() + within):
            self._check_signals()
            self.rollout.check_ours(service, self.revision, canary)
            if canary_is_ready(service) if canary else is_ready(service):
                try:
                    self._prove(service, canary)
                    return
                except NotAnsweredError as error:
                    reason = str(error)
            finding = self._look(service)
            if finding.hopeless:
                raise RankliftError(_ended(finding.sentence))
            reason = finding.sentence or complaint_of(service) or reason
        raise RankliftError(_ended(f"{version} did not answer within {within:.0f} s. {reason or 'Nothing says why'}"))

    def _look(self, service: Manifest) -> Finding:
        try:
            finding = find_fault(self.rollout.api, service, self.revision.version)
        except KubernetesError as error:
            return Finding(str(error))
        if has_failed(service) and not finding.hopeless:
            said = ". ".join(filter(None, [complaint_of(service), finding.sentence]))
            return Finding(said, True)
        return finding

    def _prove(self, service: Manifest, canary: bool) -> None:
        self.rollout.prove(service, self.revision.version, self.digest, canary)

    def _back(self, found: Manifest, before: Revision) -> Manifest:
        canary, stable = canary_of(found), revision_of(found)
        ours = self.revision.version
        if newest_number(found) > self.revision.number or ours not in {stable.version, canary and canary.version}:
            raise SupersededError((canary or stable).version)
        return changed(found, before)


def _revision(version: str, registry: Registry, champion: Champion | None, number: int | None) -> tuple[Revision, str]:
    if number is None:
        number = _number_of(version, champion)
    if number < 0:
        raise StoreError(f"{version} was never champion, so it is not deployed; `ranklift models history` lists those.")
    expected = champion.manifest_sha256 if champion is not None and champion.version == version else None
    stored = registry.expected_manifest("model", version, expected)
    head = champion.head if champion is not None else ""
    revision = Revision(version, _uri_of(version, registry), number, head, manifest_sha256=stored.sha256)
    return revision, stored.manifest.digest


def _uri_of(version: str, registry: Registry) -> str:
    return f"s3://{registry.store.settings.bucket}/{key_of('model', version, '')}".rstrip("/")


def _number_of(version: str, champion: Champion | None) -> int:
    """The number of the latest entry in the champion's history that made a version champion; -1 when none did."""
    entries = champion.history if champion is not None else []
    return max((entry.number for entry in entries if entry.version == version), default=-1)


def _check_history(service: Manifest, champion: Champion | None, registry: Registry) -> None:
    # Whoever may write the bucket can write a history that is consistent in itself; not one that has the old hash.
    seen = revision_of(service).head
    if seen and (champion is None or not champion.holds(seen)):
        raise StoreError(
            f"The champion's history in {registry.place} was rewritten since {revision_of(service).version} was "
            "deployed from it; run `ranklift verify`, and remove RANKLIFT_CHAMPION_HEAD from the InferenceService when "
            "you replaced the bucket yourself."
        )


def _without_a_service(revision: Revision, rollout: Rollout, tell: Tell) -> str:
    if revision.number == 0:
        # The manifest names V0: it is applied once there is a V0.
        tell(
            f"deploy: {revision.version} is the first champion; `kubectl apply -f kserve/inference-service.yaml` puts "
            "it into service"
        )
        return revision.version
    raise RankliftError(
        f"{revision.version} was not deployed: there is no {rollout}; `kubectl apply -f kserve/inference-service.yaml` "
        "makes it, then run the deploy again, or name another with RANKLIFT_INFERENCE_SERVICE and "
        "RANKLIFT_KUBERNETES_NAMESPACE."
    )


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "\n")) else f"{sentence}."

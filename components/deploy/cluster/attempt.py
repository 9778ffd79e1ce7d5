"""One deploy on a cluster, step by step, and the way back from each of its steps.

With a canary: the canary gets its share and answers for a while; the stable predictor rolls while the canary serves;
the canary's share goes to 0; once the gateway knows, the canary goes. Each step is one apply, and each is safe to be
interrupted at: who deploys next, the same version or another, finds what is there and goes on from it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from components.deploy.cluster.inference_service import (
    Revision,
    canary_entry_of,
    canary_is_gone,
    canary_is_ready,
    canary_of,
    complaint_of,
    has_failed,
    is_ready,
    newest_number,
    revision_of,
    stopped_progressing,
)
from components.deploy.cluster.patches import canary_at, canary_beside, changed
from components.deploy.cluster.pods import Finding, find_fault, others_serve, warnings_of
from components.deploy.cluster.rollout import Rollout, SupersededError
from components.deploy.cluster.route import canary_gets_traffic
from components.deploy.smoke import NotAnsweredError
from components.deploy.standing import deploy_command
from components.errors import RankliftError
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import Manifest
from components.machine.stop_signals import StopSignals
from components.registry.champion import LATEST, Champion
from components.registry.registry import Registry
from components.registry.version import Kind, is_version_name, key_of

_RESTORE_WITHIN = 120.0  # seconds; the pods of before are still there in most cases
_RESTORE_WHEN_STOPPED = 15.0  # Kubernetes kills a pod 30 s after SIGTERM; what was restored stays put back
_ROUTE_WITHIN = 60.0  # for the gateway to hear that the canary has no share any more
_GONE_WITHIN = 30.0
Tell = Callable[[str], None]


@dataclass
class Attempt:
    """What one deploy knows: what it wants, and what to go back to."""

    rollout: Rollout
    registry: Registry
    revision: Revision
    digest: str  #: of the model that was judged
    answering: str | None  #: the version that answered when this began
    tell: Tell
    signals: StopSignals
    trusted: bool = True  #: whether what is asked for now may be gone back to
    before: Revision | None = None  #: what to go back to
    applied: bool = False
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def try_canary(self) -> None:
        """Send a part of the traffic to the new version, and have it answer for a while."""
        settings = self.rollout.settings
        percent = settings.canary_percent
        self.tell(f"deploy: {percent} % of the traffic goes to {self.revision.version}")
        applied = self._apply(lambda found, wanted: changed(found, None, canary_beside(found, wanted, percent)))
        self._wait(applied, canary=True)
        end = time.monotonic() + settings.canary_seconds
        for service in self.rollout.follow(applied, end):
            self._check_signals()
            self.rollout.check_ours(service, self.revision, canary=True)
            self._prove(service, canary=True)

    def put(self) -> None:
        """Send all traffic to the new version; a canary serves until the stable predictor does."""
        self.tell(f"deploy: all traffic goes to {self.revision.version}")
        self._wait(self._apply(self._stable), canary=False)
        self._retire_canary(time.monotonic() + _ROUTE_WITHIN)

    def restore(self) -> tuple[str, str]:
        """Put back what served before, unless a later deploy came meanwhile.

        Returns the version that was seen to serve again, empty when none was, and one sentence that says so.
        """
        before = self.before
        if not self.applied:
            return "", "Nothing was changed."
        if before is None:
            return "", "There is no version to go back to."
        within = _RESTORE_WITHIN if self.signals.received is None else _RESTORE_WHEN_STOPPED
        end = time.monotonic() + min(within, self.rollout.settings.deploy_within)
        try:
            applied = self.rollout.change(lambda found: self._back(found, before))
            for service in self.rollout.follow(applied, end):
                if self.rollout.answering(service, before.index_version) == before.version:
                    self._retire_canary(end)
                    return before.version, f"{before.version} serves again."
        except SupersededError as later:
            return "", f"{later.version} was deployed meanwhile and stays."
        except RankliftError as error:
            command = deploy_command(before.version, self.rollout.settings.namespace)
            return "", f"{before.version} could not be restored ({error}); `{command}` does that."
        pods = f"kubectl get pods -n {self.rollout.settings.namespace}"
        return "", f"{before.version} was restored, but does not answer; look at `{pods}`."

    @property
    def untouched(self) -> str:
        """The version that answered when this began, and still does as nothing was changed; else empty."""
        return self.answering or "" if self.trusted and not self.applied else ""

    def _stable(self, found: Manifest, wanted: Revision) -> Manifest:
        canary = canary_of(found)
        ours = canary is not None and canary.version == wanted.version
        # One of another version was left by a deploy that was interrupted: nobody vouches for it.
        entry = canary_entry_of(found) if ours else canary_at(found, 0)
        return changed(found, wanted, entry)

    def _retire_canary(self, deadline: float) -> None:
        """Remove the canary; where that fails the next deploy does, as what serves beside it is not to blame."""
        try:
            self._remove_canary(deadline)
        except RankliftError as error:
            self.tell(f"deploy: the canary could not be removed ({error}); the next deploy removes it")

    def _remove_canary(self, deadline: float) -> None:
        """Remove the canary once the gateway sends it nothing, so that no request meets a Service that is gone."""
        service = self.rollout.read()
        if service is None or canary_entry_of(service) is None:
            return
        service = self.rollout.change(lambda found: changed(self._still_ours(found), None, canary_at(found, 0)))
        if not self._gateway_followed(service, deadline):
            self.tell("deploy: the gateway does not follow, so the canary stays with 0 %; the next deploy removes it")
            return
        removed = self.rollout.change(lambda found: changed(self._still_ours(found), None))
        gone = map(canary_is_gone, self.rollout.follow(removed, time.monotonic() + _GONE_WITHIN))
        next(filter(None, gone), None)

    def _gateway_followed(self, service: Manifest, deadline: float) -> bool:
        for seen in self.rollout.follow(service, deadline):
            try:
                waits = canary_gets_traffic(self.rollout.api, seen)
            except KubernetesError as error:
                if error.status != 403:
                    raise
                self.tell(f"deploy: the canary goes without a look at the routes: {error}")
                time.sleep(self.rollout.blind)
                return True
            if not waits:
                time.sleep(self.rollout.settle)
                return True
        return False

    def _check_signals(self) -> None:
        self.signals.check("{signal} stopped it; run the deploy again.")

    def _still_ours(self, found: Manifest) -> Manifest:
        if newest_number(found) > self.revision.number:
            raise SupersededError((canary_of(found) or revision_of(found)).version)
        return found

    def _apply(self, make: Callable[[Manifest, Revision], Manifest]) -> Manifest:
        self._check_signals()

        def step(found: Manifest) -> Manifest:
            stable = revision_of(self._still_ours(found))
            self.before = self._fallback(stable)
            return make(found, self.revision._replace(previous=self._previous(stable)))

        service = self.rollout.change(step)
        self.applied = True
        return service

    def _previous(self, stable: Revision) -> str:
        """Return the version that is gone back to after this one; another index is of the same version."""
        if self.before is None:
            return ""
        return stable.previous if self.before.version == self.revision.version else self.before.version

    def _fallback(self, stable: Revision) -> Revision | None:
        """Return what to go back to: what answered when this began, else what was asked for before."""
        champion = self.registry.champion()
        before = champion.before_index if champion is not None else None
        if before is not None and before.version == self.revision.version:
            back = self._revision_of(before.version, before.index)._replace(previous=stable.previous)
            return stable if (stable.version, stable.index_version) == (back.version, back.index_version) else back
        there = (self.answering, stable.version, stable.previous)
        for version in there if self.trusted else (stable.previous, *there):
            if version == stable.version and version != self.revision.version:
                return stable
            if not version or not is_version_name(version) or version == self.revision.version:
                continue
            if self.registry.has("model", version):  # a pruned version cannot serve
                return self._revision_of(version, LATEST)
        return None

    def _revision_of(self, version: str, index: str | None) -> Revision:
        number = number_of_champion(version, self.registry.champion())
        sha256 = self.registry.stored_manifest("model", version).sha256
        revision = Revision(version, uri_of(version, self.registry), number, manifest_sha256=sha256, label=version)
        return with_index(revision, self.registry, index)

    def _wait(self, applied: Manifest, canary: bool) -> None:
        within = self.rollout.settings.deploy_within
        version, reason, fresh = self.revision.version, "", False
        for service in self.rollout.follow(applied, time.monotonic() + within):
            self._check_signals()
            self.rollout.check_ours(service, self.revision, canary)
            said = self._proof(service, canary)
            if said is None:
                return
            finding = self._look(service)
            # What KServe says right after the apply may still be about what was there before.
            given_up = has_failed(service) or stopped_progressing(service)
            if finding.hopeless or (given_up and fresh):
                raise RankliftError(_ended(". ".join(filter(None, [finding.sentence, complaint_of(service)]))))
            fresh = fresh or not given_up
            reason = finding.sentence or complaint_of(service) or self._without_pods(service, finding, said) or reason
        raise RankliftError(_ended(f"{version} did not answer within {within:.0f} s. {reason or 'Nothing says why'}"))

    def _proof(self, service: Manifest, canary: bool) -> str | None:
        """None when the new version answers, it alone; else what is still missing, empty when nobody was asked."""
        if not (canary_is_ready(service) if canary else is_ready(service)):
            return ""
        try:
            self._prove(service, canary)
            waits = not canary and others_serve(self.rollout.api, service, self.revision)
        except NotAnsweredError as error:
            return str(error)
        except KubernetesError as error:
            if not error.may_pass:
                raise
            return str(error)
        return "Pods of another version still serve" if waits else None

    def _look(self, service: Manifest) -> Finding:
        try:
            return find_fault(self.rollout.api, service, self.revision)
        except KubernetesError as error:
            return Finding(str(error))

    def _without_pods(self, service: Manifest, finding: Finding, said: str) -> str:
        """Why it does not serve, where neither the pods nor the InferenceService say so."""
        if not finding.refused:
            return said
        try:
            warning = warnings_of(self.rollout.api, service, self.began)
        except KubernetesError:
            warning = ""  # a right that nobody promised
        return warning or " ".join(filter(None, [said, finding.refused]))

    def _prove(self, service: Manifest, canary: bool) -> None:
        self.rollout.prove(
            service, self.revision.version, self.digest, index=self.revision.index_version, canary=canary
        )

    def _back(self, found: Manifest, before: Revision) -> Manifest:
        canary, stable = canary_of(found), revision_of(found)
        ours = self.revision.version
        if newest_number(found) > self.revision.number or ours not in {stable.version, canary and canary.version}:
            raise SupersededError((canary or stable).version)
        return changed(found, None if stable == before else before, canary_at(found, 0))


def uri_of(version: str, registry: Registry, kind: Kind = "model") -> str:
    """Return where the storage initializer finds a version: with a slash at its end, as it takes it for a prefix."""
    return f"s3://{registry.store.settings.bucket}/{key_of(kind, version, '')}"


def with_index(revision: Revision, registry: Registry, named: str | None = LATEST) -> Revision:
    """Return a revision together with its index, where it has one: by default the one of its last time as champion.

    Raises:
        StoreError: when that index is not there, or is not the one that became champion.
    """
    champion = registry.champion()
    latest = champion.index_of(revision.version) if champion is not None else None
    index = latest if named == LATEST else named
    if champion is None or index is None:
        return revision
    is_current = (champion.version, champion.index) == (revision.version, index)
    expected = champion.current.index_manifest_sha256 if is_current else None
    stored = registry.expected_manifest("index", index, expected)
    return revision._replace(index_uri=uri_of(index, registry, "index"), index_sha256=stored.sha256)


def number_of_champion(version: str, champion: Champion | None) -> int:
    """Return the number of the latest entry in the history that made a version champion; -1 when none did."""
    entries = champion.history if champion is not None else []
    return max((entry.number for entry in entries if entry.version == version and entry.moves), default=-1)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "\n")) else f"{sentence}."

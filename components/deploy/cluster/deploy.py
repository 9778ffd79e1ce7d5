"""Deploy on a cluster: point the InferenceService at a version, prove that it answers, go back when it does not.

KServe's own signs do not suffice for the proof. In Standard mode `Ready` stays true through a rollout as long as pods
of before serve, and `observedGeneration` is that of the Deployment. What counts is that the new version answers, and
that nothing else does any more.
"""

import sys

from components.deploy.cluster.attempt import Attempt, Tell, number_of_champion, uri_of, with_index
from components.deploy.cluster.inference_service import Revision, revision_of
from components.deploy.cluster.rollout import Rollout, SupersededError
from components.deploy.outcome import Deployed, DeployStoppedError, NotDeployedError
from components.deploy.settings import ServingSettings
from components.deploy.smoke import NotAnsweredError
from components.deploy.standing import deploy_command, manifest_serves
from components.errors import RankliftError, StoppedError, StoreError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.kinds import Manifest
from components.machine.stop_signals import StopSignals
from components.registry.registry import Champion, Registry


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
) -> Deployed:
    """Put a version into service on a cluster.

    Of deploys at the same time the one of the later champion wins: an earlier one finds it and steps aside. SIGTERM and
    SIGINT end it as a failure does, within seconds. A killed deploy leaves everything that the next one needs: the same
    version goes on where it stopped, any other goes back to what served before when it fails.

    Args:
        version: such as "V3"; a current, previous or next champion.
        registry: where versions and champion are kept.
        settings: which InferenceService, how long to wait, and the canary.
        number: of the entry that the version is to have in the champion's history; by default, its current entry.
        rollout: the InferenceService; by default, the one in the settings.
        tell: shows one line of progress.

    Raises:
        NotDeployedError: with the reason, after what served before was restored; a DeployStoppedError after a signal.
        RankliftError: when it could not even begin.
    """
    rollout = rollout or Rollout(KubernetesApi.connect(settings.kubernetes_context), settings)
    champion = registry.champion()
    revision, digest = _revision(version, registry, champion, number)
    service = rollout.read()
    if service is None:
        return _without_a_service(revision, rollout, tell)
    _check_history(service, champion, registry)
    with StopSignals() as signals:
        answering, trusted = rollout.answering(service), _is_trusted(service, champion, registry, rollout)
        attempt = Attempt(rollout, registry, revision, digest, answering, tell, signals, trusted)
        try:
            if settings.canary_percent and revision_of(service).version != version:
                _try_canary(attempt, revision_of(service), tell)
            attempt.put()
        except SupersededError as later:
            tell(f"deploy: {later.version} became champion after {version}, and stays in service")
            return Deployed(later.version, proven=False)
        except StoppedError as stopped:
            serves, sentence = attempt.restore()
            said = f"{version} was not deployed: {stopped} {sentence}"
            raise DeployStoppedError(said, stopped.signal, serves or attempt.untouched) from stopped
        except RankliftError as error:
            serves, sentence = attempt.restore()
            said = f"{version} was not deployed: {error} {sentence}"
            raise NotDeployedError(said, serves or attempt.untouched) from error
    tell(f"deploy: {version} answers at {rollout}")
    return Deployed(version, proven=True)


def _revision(version: str, registry: Registry, champion: Champion | None, number: int | None) -> tuple[Revision, str]:
    if number is None:
        number = number_of_champion(version, champion)
    if number < 0:
        raise StoreError(f"{version} was never champion, so it is not deployed; `ranklift models history` lists those.")
    expected = champion.manifest_sha256 if champion is not None and champion.version == version else None
    stored = registry.expected_manifest("model", version, expected)
    head = _head(champion, number)
    uri = uri_of(version, registry)
    revision = Revision(version, uri, number, head, manifest_sha256=stored.sha256, label=version)
    return with_index(revision, registry), stored.manifest.digest


def _try_canary(attempt: Attempt, stable: Revision, tell: Tell) -> None:
    # KServe 0.21 fetches storageUris for the stable predictor alone: a canary's pods would come up without any model.
    if attempt.revision.index_version or stable.index_version:
        tell("deploy: no canary, as KServe fetches an index for the stable predictor alone; all traffic moves at once")
        return
    attempt.try_canary()


def _head(champion: Champion | None, number: int) -> str:
    # Of the entry itself where there is one: what is written after it must not restart the pods of a deploy that is
    # done again.
    if champion is None:
        return ""
    return champion.history[number].sha256() if number < len(champion.history) else champion.head


def _check_history(service: Manifest, champion: Champion | None, registry: Registry) -> None:
    # Whoever may write the bucket can write a history that is consistent in itself, but not one with the old hash.
    seen = revision_of(service).head
    if seen and (champion is None or not champion.holds(seen)):
        raise StoreError(
            f"The champion's history in {registry.place} was rewritten since {revision_of(service).version} was "
            "deployed from it; run `ranklift verify`, and remove RANKLIFT_CHAMPION_HEAD from the InferenceService when "
            "you replaced the bucket yourself."
        )


def _is_trusted(service: Manifest, champion: Champion | None, registry: Registry, rollout: Rollout) -> bool:
    """Whether what is asked for now may be gone back to: a deploy of it that was killed has not proven it yet."""
    stable = revision_of(service)
    proven = {entry.version for entry in champion.history if entry.served} if champion is not None else set()
    if stable.version in proven or stable.previous not in proven:
        return True
    try:
        rollout.prove(
            service, stable.version, registry.manifest("model", stable.version).digest, index=stable.index_version
        )
    except (NotAnsweredError, StoreError):
        return False
    return True


def _without_a_service(revision: Revision, rollout: Rollout, tell: Tell) -> Deployed:
    if revision.number == 0:
        champion, how = revision.version, "`kubectl apply -f kserve/inference-service.yaml` puts it into service"
        if not manifest_serves(revision.version, revision.index_version):
            command = deploy_command(revision.version, rollout.settings.namespace)
            how = f"`kubectl apply -f kserve/inference-service.yaml`, then `{command}` put it into service"
        if revision.index_version:
            champion = f"{revision.version} with index {revision.index_version}"
        tell(f"deploy: {champion} is the first champion; {how}")
        return Deployed(revision.version, proven=False)
    raise RankliftError(
        f"{revision.version} was not deployed: there is no {rollout}; `kubectl apply -f kserve/inference-service.yaml` "
        "makes it, then run the deploy again, or name another with RANKLIFT_INFERENCE_SERVICE and "
        "RANKLIFT_KUBERNETES_NAMESPACE."
    )

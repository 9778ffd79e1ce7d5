"""Deploy where the champion is served: on this machine, or on a cluster."""

from pathlib import Path

from components.deploy.cluster.deploy import deploy_on_cluster
from components.deploy.cluster.inference_service import canary_of, newest_number, revision_of
from components.deploy.cluster.rollout import Rollout
from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_version
from components.deploy.outcome import Deployed
from components.deploy.settings import ServingSettings
from components.kubernetes.api import KubernetesApi
from components.registry.registry import Champion, Registry


def deploy(
    version: str, registry: Registry, home: Path, settings: ServingSettings, number: int | None = None
) -> Deployed:
    """Put a version into service and prove that it answers.

    Args:
        version: such as "V3".
        registry: where versions and champion are kept.
        home: ranklift's data folder, for a deploy on this machine.
        settings: which of the two it is.
        number: of the entry that the version is to have in the champion's history; by default, its current entry.

    Raises:
        NotDeployedError: with the reason, after what served before was restored.
        RankliftError: when it could not even begin.
    """
    if settings.on_cluster:
        return deploy_on_cluster(version, registry, settings, number=number)
    serves = deploy_local(version, registry, home, steps_aside=number is None)
    return Deployed(serves, proven=serves == version)


def number_that_wins(champion: Champion, settings: ServingSettings) -> int | None:
    """Return the number under which a deploy of the champion that a person asks for is not taken for an earlier one.

    A rollback that was killed after it served and before it moved the pointer leaves a number in the InferenceService
    that no entry of the history has. None where the champion's own number will do.

    Raises:
        RankliftError: when the cluster cannot be asked.
    """
    if not settings.on_cluster:
        return None
    service = Rollout(KubernetesApi.connect(settings.kubernetes_context), settings).read()
    left = newest_number(service) if service is not None else -1
    return left if left >= len(champion.history) else None


def versions_in_service(home: Path | None, settings: ServingSettings) -> list[str]:
    """Return the versions that this machine or the cluster serves, tries as a canary, or would go back to.

    Without a `home` this machine is not looked at: its versions are those of another registry.

    Raises:
        RankliftError: when the cluster cannot be asked.
    """
    local = current_version(home) if home is not None else None
    found = [local] if local else []
    if not settings.on_cluster:
        return found
    service = Rollout(KubernetesApi.connect(settings.kubernetes_context), settings).read()
    if service is None:
        return found
    revision, canary = revision_of(service), canary_of(service)
    there = [revision.version, revision.previous, canary.version if canary else ""]
    return [*found, *filter(None, there)]

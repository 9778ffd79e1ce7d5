"""Deploy where the champion is served: on this machine, or on a cluster."""

from pathlib import Path

from components.deploy.cluster import deploy_on_cluster
from components.deploy.local import deploy_local
from components.registry import Registry
from components.settings import ServingSettings


def deploy(version: str, registry: Registry, home: Path, settings: ServingSettings, number: int | None = None) -> str:
    """Put a version into service and prove that it answers; returns the version that is in service now.

    Args:
        version: such as "V3".
        registry: where versions and champion are kept.
        home: ranklift's data folder, for a deploy on this machine.
        settings: which of the two it is.
        number: of the entry that the version is to have in the champion's history; the one that it has when None.

    Raises:
        RankliftError: with the reason, after what served before was put back.
    """
    if settings.on_cluster:
        return deploy_on_cluster(version, registry, settings, number=number)
    return deploy_local(version, registry, home)

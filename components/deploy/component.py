"""The KFP wrapper of `deploy`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def deploy(version: str) -> str:
    """Put a version into service, ask it a smoke query, and roll back when that fails; returns what now serves."""
    from components.stage import Stage

    with Stage("deploy"):
        from components.deploy.champion import deploy_champion
        from components.deploy.settings import ServingSettings
        from components.machine.settings import home_directory
        from components.registry.registry import open_registry

        return deploy_champion(version, open_registry(), home_directory(), ServingSettings())

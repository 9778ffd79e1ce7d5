"""The KFP wrapper of `source`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def source(data: str, evaluation_data: str) -> str:
    """Fingerprint of the raw data as it is now: `prepare` is done again when it is another one."""
    from components.stage import Stage

    with Stage("source") as stage:
        from components.source.fingerprint import fingerprint

        stage.imported()
        return fingerprint(data, evaluation_data)

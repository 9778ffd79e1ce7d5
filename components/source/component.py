"""The KFP wrapper of `source`."""

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def source(data: str, evaluation_data: str, base_model: str) -> str:
    """Fingerprint of raw data and base model as they are now: `prepare` is done again when it is another one."""
    from components.stage import Stage

    with Stage("source"):
        from components.source.fingerprint import fingerprint

        return fingerprint(data, evaluation_data, base_model)

"""The KFP wrappers of `source`, and of `candidates` in its place where a run chooses its base model."""

from typing import NamedTuple

from kfp import dsl

from components.stage import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def source(data: str, evaluation_data: str, base_model: str, query_generator: str, teacher: str) -> str:
    """Fingerprint of raw data and models as they are now: `prepare` is done again when it is another one."""
    from components.stage import Stage

    with Stage("source"):
        from components.source.fingerprint import fingerprint
        from components.source.helpers import check_helpers

        check_helpers(query_generator, teacher)
        return fingerprint(data, evaluation_data, base_model, query_generator, teacher)


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def candidates(data: str, evaluation_data: str, base_models: list, query_generator: str, teacher: str) -> NamedTuple(
    "Candidates", [("first", str), ("fingerprint", str)]
):
    """Check every base model before anything slow begins; return the first, and a fingerprint of data and models."""
    from components.stage import Stage

    with Stage("source"):
        from components.source.candidates import check_candidates
        from components.source.fingerprint import fingerprint
        from components.source.helpers import check_helpers

        check_candidates(base_models)
        check_helpers(query_generator, teacher)
        return base_models[0], fingerprint(data, evaluation_data, *base_models, query_generator, teacher)

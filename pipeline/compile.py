"""The pipeline as YAML: the same document for a laptop, for containers and for a cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import RankliftError
from pipeline.parameters import check_parameters, index_workers, settled
from pipeline.settings.file import PipelineSettings


def compile_pipeline(
    path: Path,
    images: Mapping[str, str] | None = None,
    settings: PipelineSettings | None = None,
    defaults: Mapping[str, Any] | None = None,
    *,
    one_by_one: bool = False,
) -> None:
    """Write the compiled pipeline; the same code gives the same bytes.

    Args:
        path: a file that ends in ``.yaml`` or ``.yml``.
        images: the container image of each stage, by stage.
        settings: what each stage needs on a cluster.
        defaults: of the pipeline's parameters, in place of those that the stages declare. With several `base_models`
            the pipeline chooses between them, or between those that a run names, and has no `base_model`. With several
            `index_workers` it has as many.
        one_by_one: whether these work one after the other, as on one machine.

    Raises:
        RankliftError: when the file's name has another ending, or a default is invalid.
    """
    from kfp import compiler

    from pipeline.dag import Workers, build_pipeline

    if path.suffix not in (".yaml", ".yml"):
        raise RankliftError(f"A compiled pipeline is YAML: {path} must end in .yaml, such as pipeline.yaml.")
    check_parameters(defaults or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    workers = Workers(index_workers(defaults or {}), one_by_one=one_by_one)
    compiler.Compiler().compile(build_pipeline(images, settings, settled(defaults or {}), workers), str(path))

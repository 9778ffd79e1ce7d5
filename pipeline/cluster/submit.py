"""A run on a cluster: compile, upload, start; what the person typed is checked against the pipeline before."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.errors import RankliftError
from components.index.options import DATASET
from pipeline.cluster.pipelines_api import PIPELINE, PipelinesApi, PipelineVersion
from pipeline.compile import compile_pipeline
from pipeline.parameters import check_parameters, read_parameters, settled, shaping
from pipeline.settings.file import PipelineSettings


class Submitted(NamedTuple):
    """What was started."""

    run_id: str  #: of the run, or of the recurring run
    url: str  #: its page
    version: PipelineVersion
    tasks: dict[str, str]  #: the names under which KFP may report a stage → what it is called here


def submit(
    api: PipelinesApi,
    parameters: Sequence[str],
    settings: PipelineSettings | None,
    experiment: str | None = None,
    schedule: str | None = None,
) -> Submitted:
    """Upload the pipeline as a version, unless that very version is there, and start it.

    Args:
        api: where.
        parameters: each NAME=VALUE.
        settings: what each stage needs there.
        experiment: where KFP lists the run; made when there is none.
        schedule: a cron expression of five or six fields, for a recurring run.

    Raises:
        RankliftError: when a parameter or the schedule cannot be used, or KFP refuses.
    """
    cron = six_fields(schedule) if schedule is not None else None
    values = read_parameters(parameters)
    check_for_cluster(values, settings)
    shape, values = shaping(values), settled(values)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_pipeline(package, settings=settings, defaults=shape)
        content = package.read_bytes()
        specification = next(yaml.safe_load_all(content))
        version = api.upload(package, f"{PIPELINE}-{hashlib.sha256(content).hexdigest()[:12]}")
    chosen = settings or PipelineSettings()
    place = {"root": chosen.pipeline_root, "account": chosen.service_account}
    tasks = _tasks(specification)
    if cron is not None:
        run_id = api.schedule(version, cron, experiment or PIPELINE, values, **place)
        return Submitted(run_id, api.recurring_run_url(run_id), version, tasks)
    run_id = api.start(
        version, f"{PIPELINE} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}", experiment or PIPELINE, values, **place
    )
    return Submitted(run_id, api.run_url(run_id), version, tasks)


def check_for_cluster(values: Mapping[str, Any], settings: PipelineSettings | None) -> None:
    """Raise a RankliftError where a cluster that is set up by these settings cannot do what the parameters ask for."""
    check_parameters(values)
    for name in ("data", "evaluation_data", "index_corpus"):
        uri = values.get(name)
        if uri and "://" not in uri and uri != DATASET:
            raise RankliftError(
                f"{name}={uri} is a path of this machine, which the cluster cannot read; upload it, and give for "
                f"example {name}=s3://ranklift/raw/{Path(uri).name}."
            )
    if values.get("num_nodes", 1) > 1 and (settings is None or settings.train_job is None):
        raise RankliftError(
            f"num_nodes={values['num_nodes']} trains on nodes that the settings do not describe; add `train_job:` to "
            "the file that --settings names (see stages.yaml), or leave num_nodes out."
        )


def six_fields(schedule: str) -> str:
    """Return a cron expression as KFP reads it, seconds first; one of the usual five fields gets second 0.

    Raises:
        RankliftError: when it has neither five nor six fields.
    """
    fields = schedule.split()
    if len(fields) not in {5, 6}:
        raise RankliftError(
            f"--schedule {schedule!r} has {len(fields)} fields; give five (minute hour day month weekday), for example "
            "'0 3 * * 1' for Mondays at 3:00 UTC, or six with the second first."
        )
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _tasks(specification: Mapping[str, Any]) -> dict[str, str]:
    """Return the stages' names: KFP reports a task by its key in the pipeline or by its display name."""
    dags = [specification["root"]["dag"]]
    dags += [component["dag"] for component in specification["components"].values() if "dag" in component]
    names = {key: task["taskInfo"]["name"] for dag in dags for key, task in dag["tasks"].items()}
    names = {key: name for key, name in names.items() if not key.startswith(("condition", "for-loop"))}
    return names | {name: name for name in names.values()}

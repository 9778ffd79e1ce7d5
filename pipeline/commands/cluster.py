"""What concerns a cluster: a run there, and whether it is set up as it should be."""

from typing import Annotated, Any

import typer

from components.errors import RankliftError
from components.kubernetes.account import KUBEFLOW
from pipeline.commands import options
from pipeline.commands.following import place_of, show_run
from pipeline.console import AsJson, answer, tell


def submit(
    endpoint: Annotated[
        str | None, typer.Option(help="URL of Kubeflow Pipelines; default: RANKLIFT_KFP_ENDPOINT.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="s3://…, hf://datasets/… or demo://docstrings.")] = None,
    param: options.Parameters = None,
    settings: options.SettingsFile = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow the run to its end; exit with 0 (promoted) or 1 (held).")
    ] = False,
    schedule: Annotated[str | None, typer.Option(help="Run on a schedule in cron syntax, such as '0 3 * * 1'.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Where KFP lists the run; ranklift if left out.")] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Stop following after this many hours.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline on Kubeflow Pipelines; with --follow status 0 is promoted, 1 held, 2 an error.

    A token, a cookie or headers come from RANKLIFT_KFP_TOKEN, RANKLIFT_KFP_COOKIE and RANKLIFT_KFP_HEADERS (JSON).

    Example: ranklift submit --endpoint http://127.0.0.1:8888 --data s3://ranklift/raw/clicks.parquet --follow
    """
    from pipeline.cluster.pipelines_api import PipelinesApi, PipelinesSettings
    from pipeline.cluster.submit import check_for_cluster
    from pipeline.cluster.submit import submit as submit_run
    from pipeline.parameters import read_parameters
    from pipeline.settings.file import PipelineSettings

    if follow and schedule is not None:
        raise RankliftError("--follow and --schedule exclude each other: a recurring run has no end; leave one out.")
    chosen = PipelineSettings.read(settings) if settings else None
    given = PipelinesSettings()
    parameters = [*(param or []), *([f"data={data}"] if data is not None else [])]
    check_for_cluster(read_parameters(parameters), chosen)  # before KFP is asked anything
    api = PipelinesApi(given.model_copy(update={"endpoint": endpoint}) if endpoint else given)
    run = submit_run(api, parameters, chosen, experiment, schedule)
    document: dict[str, Any] = {"run_id": run.run_id, "url": run.url, "pipeline_version": run.version.name}
    if not follow:
        what = "Recurring run" if schedule is not None else "Run"
        answer(document, f"{what} {run.run_id} is at {run.url}", as_json)
        return
    tell(f"ranklift: run {run.run_id} is at {run.url}")
    raise typer.Exit(show_run(api, run, place_of(chosen, given.namespace), timeout, document, as_json))


def doctor(
    endpoint: Annotated[
        str | None, typer.Option(help="URL of Kubeflow Pipelines; default: RANKLIFT_KFP_ENDPOINT.")
    ] = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    settings: options.SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the object store and the cluster, each fault with its fix; status 1 when there is one.

    Example: ranklift doctor --endpoint http://127.0.0.1:8888 --namespace ranklift
    """
    from components.deploy.settings import ServingSettings
    from components.machine.settings import home_directory
    from pipeline.cluster.pipelines_api import PipelinesSettings
    from pipeline.cluster.store import Place
    from pipeline.doctor.examine import examine
    from pipeline.settings.file import PipelineSettings

    chosen = PipelineSettings.read(settings) if settings else PipelineSettings()
    serving, given = ServingSettings(), PipelinesSettings()
    if endpoint:
        given = given.model_copy(update={"endpoint": endpoint})
    context = context or serving.kubernetes_context
    there = chosen.serving
    place = Place(
        namespace or serving.kubernetes_namespace or (there.namespace if there else serving.namespace),
        serving.inference_service or (there.inference_service if there else serving.name),
        given.namespace or KUBEFLOW,
    )
    named = namespace is not None or context is not None or serving.kubernetes_namespace is not None
    results = examine(home_directory(), place, chosen, given, named, context=context)
    signs = {"ok": "ok     ", "wrong": "WRONG  ", "skipped": "-      "}
    lines = []
    for result in results:
        lines.append(f"{signs[result.state]}{result.check}: {result.finding}")
        lines += [f"       → {result.fix}"] if result.fix else []
    answer([result._asdict() for result in results], "\n".join(lines), as_json)
    raise typer.Exit(1 if any(result.state == "wrong" for result in results) else 0)

"""Kubeflow Pipelines' API through its own client, bounded in time, with one sentence for what it refuses."""

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from components.errors import RankliftError
from pipeline.cluster.pipelines_client import PipelinesSettings, bounded_client

__all__ = ["PIPELINE", "PipelineVersion", "PipelinesApi", "PipelinesSettings", "UnavailableError"]

PIPELINE = "ranklift"
_LONGEST_ANSWER = 32 << 20


class PipelineVersion(NamedTuple):
    """One version of the pipeline, as KFP keeps it."""

    pipeline_id: str
    version_id: str
    name: str


class PipelinesApi:
    """One installation of Kubeflow Pipelines.

    Raises:
        RankliftError: when it does not answer, or not to this user.
    """

    def __init__(self, settings: PipelinesSettings) -> None:
        endpoint = settings.endpoint or os.environ.get("KF_PIPELINES_ENDPOINT") or ""
        if not endpoint.startswith(("http://", "https://")):
            raise RankliftError(
                f"{endpoint!r} is not where Kubeflow Pipelines answers; give for example --endpoint "
                "http://127.0.0.1:8888 after `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`."
            )
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise RankliftError(f"RANKLIFT_KFP_CA_FILE={settings.ca_file} is not there; check the path.")
        self.endpoint = endpoint.rstrip("/")
        self._ui = (settings.ui or os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.endpoint).rstrip("/")
        self._namespace = settings.namespace
        with self._spoken("connect to it"):
            self._client = bounded_client(self.endpoint, settings)

    def run_url(self, run_id: str) -> str:
        """Return the page of a run."""
        return f"{self._ui}/#/runs/details/{run_id}"

    def recurring_run_url(self, recurring_run_id: str) -> str:
        """Return the page of a recurring run."""
        return f"{self._ui}/#/recurringrun/details/{recurring_run_id}"

    def upload(self, package: Path, name: str) -> PipelineVersion:
        """Keep a compiled pipeline as a version of this name; reuse it if it is there.

        The pipeline itself is made when there is none.
        """
        from kfp_server_api import V2beta1Pipeline

        with self._spoken("upload the pipeline"):
            pipeline_id = self._client.get_pipeline_id(PIPELINE)
            if pipeline_id is None:
                pipeline = V2beta1Pipeline(display_name=PIPELINE, name=PIPELINE, namespace=self._namespace)
                pipeline_id = self._client._pipelines_api.pipeline_service_create_pipeline(pipeline).pipeline_id
            found = self._version(pipeline_id, name)
            if found is not None:
                return found
            made = self._client.upload_pipeline_version(str(package), name, pipeline_id=pipeline_id)
            return PipelineVersion(pipeline_id, made.pipeline_version_id, name)

    def start(
        self,
        version: PipelineVersion,
        name: str,
        experiment: str,
        parameters: Mapping[str, Any],
        *,
        root: str | None = None,
        account: str | None = None,
    ) -> str:
        """Start a run; returns its id. See `schedule`."""
        with self._spoken("start a run"):
            experiment_id = self._experiment(experiment)
            run = self._client.run_pipeline(
                experiment_id,
                name,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                pipeline_root=root,
                service_account=account,
            )
            return str(run.run_id)

    def schedule(
        self,
        version: PipelineVersion,
        cron: str,
        experiment: str,
        parameters: Mapping[str, Any],
        *,
        root: str | None = None,
        account: str | None = None,
    ) -> str:
        """Start a run again and again, one at a time; returns the recurring run's id.

        Args:
            version: what is run.
            cron: six fields, seconds first, as KFP reads them.
            experiment: where the runs are listed.
            parameters: those that differ from their defaults.
            root: where KFP keeps the runs' artifacts; its own default when None.
            account: the ServiceAccount of the runs' pods; KFP's default when None.
        """
        with self._spoken("make a recurring run"):
            run = self._client.create_recurring_run(
                self._experiment(experiment),
                f"{PIPELINE} {cron}",
                cron_expression=cron,
                no_catchup=True,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                pipeline_root=root,
                service_account=account,
            )
            return str(run.recurring_run_id)

    def run(self, run_id: str) -> Any:
        """Return a run as it is now: ``V2beta1Run``."""
        with self._spoken(f"look at run {run_id}"):
            return self._client.get_run(run_id)

    def workflow(self, run_id: str) -> dict[str, Any]:
        """Argo's workflow of a run, as KFP keeps it: every node with its message and times; empty where it has none.

        KFP's own API (v2beta1) gives no message of a stage, no pod and no attempt; v1beta1, beside it, gives them all.
        """
        with self._spoken(f"look at the workflow of run {run_id}"):
            document = json.loads(self._read(f"/apis/v1beta1/runs/{run_id}"))
            manifest = (document.get("pipeline_runtime") or {}).get("workflow_manifest")
            found: dict[str, Any] = json.loads(manifest) if manifest else {}
            return found

    def log(self, run_id: str, pod: str, namespace: str) -> str:
        """Return the log of a stage's pod, from KFP's API, or its UI where the endpoint is that of the UI.

        Raises:
            UnavailableError: also when the pod is gone and its log was not kept.
        """
        ui = urlencode({"podname": pod, "runid": run_id, "podnamespace": namespace})
        for path in (f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log", f"/k8s/pod/logs?{ui}"):
            try:
                with self._spoken(f"read the log of {pod}"):
                    text = self._read(path)
            except UnavailableError as error:
                if error.status not in {404, 500}:
                    raise
                continue
            # KFP's API answers 200 before it looks, its UI answers 200 with its page to what it does not know.
            if not text.startswith('{"error_message"') and not text.lstrip()[:9].lower().startswith(
                ("<!doctype", "<html")
            ):
                return text
        raise UnavailableError(f"Kubeflow Pipelines at {self.endpoint} has no log of pod {pod}.", 404)

    def _read(self, path: str) -> str:
        client = self._client._run_api.api_client
        response = client.call_api(
            path, "GET", auth_settings=["Bearer"], _preload_content=False, _return_http_data_only=True
        )
        try:
            return bytes(response.read(_LONGEST_ANSWER)).decode("utf-8", "replace")
        finally:
            response.close()

    def _experiment(self, name: str) -> str:
        return str(self._client.create_experiment(name, namespace=self._namespace).experiment_id)

    def _version(self, pipeline_id: str, name: str) -> PipelineVersion | None:
        start = ""
        while True:
            page = self._client.list_pipeline_versions(pipeline_id, page_token=start, page_size=100)
            for version in page.pipeline_versions or []:
                if version.display_name == name:
                    return PipelineVersion(pipeline_id, version.pipeline_version_id, name)
            start = page.next_page_token
            if not start:
                return None

    @contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        from kfp_server_api import ApiException

        try:
            with redirect_stdout(io.StringIO()):  # the client prints links; standard output is ours
                yield
        except ApiException as error:
            raise UnavailableError(self._refusal(error, what), int(error.status or 0)) from None
        except json.JSONDecodeError:
            raise UnavailableError(f"What answers at {self.endpoint} when asked to {what} is not JSON.", 404) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise UnavailableError(
                f"Kubeflow Pipelines at {self.endpoint} did not answer ({type(reason).__name__}) when asked to {what}; "
                "check --endpoint, and that its port-forward still runs."
            ) from None

    def _refusal(self, error: Any, what: str) -> str:
        said = _said(error)
        if error.status in {401, 403}:
            return (
                f"Kubeflow Pipelines at {self.endpoint} does not let this user {what} ({error.status}: {said}); set "
                "RANKLIFT_KFP_TOKEN or RANKLIFT_KFP_COOKIE, and RANKLIFT_KFP_NAMESPACE in a multi-user installation."
            )
        if error.status == 404 and what == "connect to it":
            return f"{self.endpoint} is not Kubeflow Pipelines (404 for /apis/v2beta1/healthz); check --endpoint."
        return f"Kubeflow Pipelines at {self.endpoint} answered {error.status} when asked to {what}: {said}."


class UnavailableError(RankliftError):
    """Kubeflow Pipelines refused or did not answer; `status` is the HTTP status, 0 where there was no answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


def _said(error: Any) -> str:
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        document = json.loads(body)
        said = document.get("message") or document.get("error_message") or body
    except (ValueError, AttributeError):
        said = body or str(error.reason)
    return " ".join(str(said).split())[:300].rstrip(".")

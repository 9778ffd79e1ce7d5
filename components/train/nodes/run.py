"""Training on several nodes: hand the inputs over, have Kubeflow Trainer run the nodes, follow them, take the model.

The same inputs are the same TrainJob. A retried stage finds the running TrainJob, or the finished model.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from components.dataset.manifest import MANIFEST, DatasetManifest
from components.errors import RankliftError, StoppedError, StoreError
from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.kinds import TRAIN_JOBS, Manifest
from components.machine.digest import directory_files, tree_sha256
from components.machine.new_folder import move_whole
from components.machine.stop_signals import stopping
from components.model.base import base_model_directory
from components.object_store.client import ObjectStore
from components.object_store.folder import SCHEME
from components.object_store.settings import ObjectStoreSettings
from components.registry.files import inventory
from components.stage import tell as tell_line
from components.train.checkpoints.store import checkpoint_setting
from components.train.inputs import check, look_up, training_files
from components.train.nodes.handover import BASE_MODEL, DATASET, Handover
from components.train.nodes.manifest import inputs_digest, job_name, processes_per_node, train_job
from components.train.nodes.pods import Seen, ends, look
from components.train.nodes.settings import TrainJobSettings
from components.train.options import TrainOptions, check_shares
from components.train.report import REPORT, TrainingReport

_GRACE = 300.0  # seconds beyond the TrainJob's own deadline, in which the cluster is to say that it passed
_GONE_WITHIN = 120.0  # seconds
_STOPPED = (
    "Training was stopped by {signal}, and its TrainJob removed; run the same command again to resume from the "
    "checkpoint in the object store, or to start again where there is none."
)
Tell = Callable[[str], None]


def _tell(line: str) -> None:
    tell_line("train", line)


def train_on_nodes(
    dataset: Path, output: Path, options: TrainOptions, *, tick: int = 10, tell: Tell = _tell
) -> TrainingReport:
    """Fine-tune on `options.num_nodes` nodes of a cluster; see `train_model`.

    Args:
        dataset: a dataset version; its training triplets, dev triplets and manifest are handed over, nothing else.
        output: the folder to make.
        options: how to train.
        tick: seconds after which to look at the nodes again.
        tell: shows one line of progress.

    Raises:
        StoreError: when ``RANKLIFT_CHECKPOINTS`` cannot be used.
        RankliftError: with what a node said, or the ends of the nodes' logs; TrainJob and inputs are removed then.
        KubernetesError: when the cluster cannot be asked; the TrainJob stays, and the same again follows it.
        StoppedError: when SIGTERM or SIGINT asked to stop; TrainJob and inputs are removed.
    """
    settings = TrainJobSettings.from_environment()
    store = _store()
    checkpoints = checkpoint_setting()
    manifest = DatasetManifest.of(dataset)
    check(look_up(dataset, options), output)
    options = options.model_copy(
        update={
            "base_model": options.base_model or manifest.base_model,
            "processes": processes_per_node(options, settings),
        }
    )
    check_shares(options, options.processes * options.num_nodes)
    files, base_model = _inputs(dataset, options.base_model)
    digest = inputs_digest(manifest.digest, base_model, options, settings)
    run = _Run(KubernetesApi.connect(), Handover(store, digest), settings, tick, tell)
    with stopping(_STOPPED):
        try:
            if not run.has_model():
                run.start(train_job(digest, options, settings, store.settings, checkpoints), files, options)
                run.follow()
            return run.take_model(output)
        except (StoppedError, _FailedError):
            run.remove()
            raise


class _FailedError(RankliftError):
    """The training failed, and the same again would need another TrainJob."""


def _store() -> ObjectStore:
    settings = ObjectStoreSettings.from_environment()
    if settings is None:
        raise RankliftError(
            "Training on several nodes needs an object store that they reach, and RANKLIFT_S3_ENDPOINT is not set; "
            "name yours under `object_store:` in the pipeline's settings."
        )
    return ObjectStore(settings)


def _inputs(dataset: Path, base_model: str) -> tuple[dict[str, Path], str]:
    """Return the files to hand over by name, and what tells the base model from others."""
    files = {f"{DATASET}/{name}": dataset / name for name in (*training_files(DatasetManifest.of(dataset)), MANIFEST)}
    if not (base_model.startswith(SCHEME) or Path(base_model).is_dir()):
        return files, base_model  # it is in the image, or every node gets it from the hub
    folder = base_model_directory(base_model)
    files |= {f"{BASE_MODEL}/{name}": folder / name for name in inventory(folder)}
    return files, tree_sha256(directory_files(folder))


class _Run:
    """One TrainJob, and what is handed over for it."""

    def __init__(
        self, api: KubernetesApi, handover: Handover, settings: TrainJobSettings, tick: int, tell: Tell
    ) -> None:
        self._api = api
        self._handover = handover
        self._settings = settings
        self._tick = tick
        self._tell = tell
        self._name = job_name(handover.place.rpartition("/")[2])
        self._told = ""

    def __str__(self) -> str:
        return f"TrainJob {self._name} in namespace {self._settings.namespace}"

    def has_model(self) -> bool:
        """Whether an earlier attempt got as far as the model, and no further."""
        found = self._find()
        return (found is None or _condition(found, "Complete") is not None) and self._handover.has_model()

    def start(self, manifest: Manifest, files: dict[str, Path], options: TrainOptions) -> None:
        """Create the TrainJob, unless it runs already."""
        found = self._find()
        if found is not None and _runs(found):
            self._tell(f"{self} is already running; following it")
            return
        self._remove_job()
        self._handover.clear_failures()
        self._tell(f"copying {sum(path.stat().st_size for path in files.values()) >> 20} MB to the nodes")
        self._handover.send_inputs(files, options)
        try:
            self._api.create(TRAIN_JOBS, manifest)
        except KubernetesError as error:
            if error.status == 404:
                raise RankliftError(
                    f"The cluster knows no TrainJobs ({error}) Install Kubeflow Trainer 2.3 or newer there, or train "
                    "with --num-nodes 1."
                ) from error
            if error.status != 409:  # made by an attempt whose answer got lost, or by a twin of this stage
                raise
        self._tell(f"{self} trains on {options.num_nodes} nodes, {options.processes} processes on each")

    def follow(self) -> None:
        """Return when the nodes are done.

        Raises:
            _FailedError: when they failed, or did not end in time.
        """
        left = self._settings.deadline + _GRACE
        while True:
            began = time.monotonic()
            job = self._find()
            if job is None:
                raise _FailedError(f"{self} was deleted while it trained; run the same command again.")
            if _condition(job, "Complete") is not None:
                return
            failed = _condition(job, "Failed")
            if failed is not None:
                self._fail(str(failed.get("message") or failed.get("reason") or "it gives no reason"))
            suspended = _condition(job, "Suspended") is not None
            self._look(suspended)
            self._wait(job)
            if not suspended:  # in a queue its time does not pass
                left -= time.monotonic() - began
            if left < 0:
                self._fail(f"it did not end within {self._settings.deadline} s; set `deadline` to more")

    def take_model(self, output: Path) -> TrainingReport:
        """Fetch and check the model, and remove everything made for it."""
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".training-") as scratch:
            model = Path(scratch) / "model"
            try:
                self._handover.receive_model(model)
            except StoreError as error:
                if not self._handover.has_model():  # raises when the store is away: then the model stays for later
                    raise
                raise _FailedError(str(error)) from error
            report = TrainingReport.read(model / REPORT)
            move_whole(model, output)
        self.remove()
        return report

    def remove(self) -> None:
        """Remove the TrainJob, and what was handed over; what cannot be removed is told."""
        try:
            self._api.delete(TRAIN_JOBS, self._settings.namespace, self._name)
            self._handover.remove()
        except RankliftError as error:
            self._tell(f"{self} and {self._handover.place}/ in the bucket were not removed: {error}")

    def _look(self, suspended: bool) -> None:
        for error in self._handover.failures():
            if type(error) is not RankliftError:  # the nodes' own data or settings: they would fail again
                raise _FailedError(str(error))
        nodes = Seen() if suspended else look(self._api, self._settings.namespace, self._name)
        if nodes.hopeless:
            raise _FailedError(f"{self} cannot train: {nodes.hopeless}.")
        said = "it is suspended, as a queue does until there is room" if suspended else nodes.waiting
        line = nodes.progress or (f"waiting: {said}" if said else f"{nodes.running} nodes run")
        if line != self._told:
            self._told = line
            self._tell(line.removeprefix("train: "))

    def _wait(self, job: Manifest) -> None:
        """Return at the job's next change, or after a while."""
        meta = job["metadata"]
        try:
            events = self._api.watch(
                TRAIN_JOBS, self._settings.namespace, self._name, meta["resourceVersion"], self._tick
            )
            began = time.monotonic()
            for event in events:
                if event["type"] in {"MODIFIED", "DELETED"}:
                    return
            time.sleep(max(0.0, min(self._tick - (time.monotonic() - began), 1.0)))  # a watch that was cut off
        except KubernetesError as error:
            if error.status in {401, 403}:
                raise
            time.sleep(1.0)  # too old a version, or an API that is away for a moment

    def _fail(self, why: str) -> None:
        said = self._handover.failures()
        reason = f"{said[0]}" if said else f"{why.rstrip('.')}."
        logs = ends(self._api, self._settings.namespace, self._name)
        raise _FailedError(f"{self} failed: {reason}{logs}")

    def _find(self) -> Manifest | None:
        return self._api.find(TRAIN_JOBS, self._settings.namespace, self._name)

    def _remove_job(self) -> None:
        """Remove what an attempt of before left, and wait until it is gone: its name is needed."""
        end = time.monotonic() + _GONE_WITHIN
        while (found := self._find()) is not None:
            if "deletionTimestamp" not in found["metadata"]:
                self._api.delete(TRAIN_JOBS, self._settings.namespace, self._name)
            if time.monotonic() > end:
                raise RankliftError(f"{self} is of an earlier attempt and is still there; delete it with kubectl.")
            time.sleep(0.5)


def _condition(job: Manifest, kind: str) -> Manifest | None:
    """Return the condition of a kind, when it is true."""
    conditions: list[Manifest] = job.get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind and found["status"] == "True"), None)


def _runs(job: Manifest) -> bool:
    ended = _condition(job, "Complete") or _condition(job, "Failed")
    return ended is None and "deletionTimestamp" not in job["metadata"]

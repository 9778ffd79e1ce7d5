"""Settings put onto a task of the DAG, in KFP's and kfp-kubernetes' words."""

from typing import Any

from components.errors import RankliftError
from components.kubernetes.account import VARIABLE as ACCOUNT_VARIABLE
from components.train.nodes.settings import VARIABLE, TrainJobSettings
from pipeline.settings.file import (
    ACCOUNT_FOLDER,
    SECRETS_FOLDER,
    ObjectStoreAccess,
    PipelineSettings,
    PodSettings,
    Serving,
    StageSettings,
    TrainJob,
    named_image,
)
from pipeline.settings.units import cpus, seconds

#: The label by which manifests/ tells the pods of the stages apart: who may reach what.
STAGE_LABEL = "ranklift.dev/stage"
_SPEAKS_TO_STORE = {"source", "prepare", "measure", "champion", "promote", "index", "deploy"}


def apply_settings(task: Any, stage: str, settings: PipelineSettings, image: str | None = None) -> None:
    """Give a task its stage's image, resources, placement, retries and time-out, and the secrets that it may read.

    Only the stages that speak to the object store get its keys, train where it keeps checkpoints there or may train on
    several nodes; only deploy learns where it deploys to.

    Args:
        task: of the DAG.
        stage: its name.
        settings: the whole file.
        image: that the stage has in place of the one in the settings.
    """
    chosen = settings.of(stage)
    _set_container(task, chosen)
    _set_pod(task, stage, chosen)
    if settings.object_store is not None and stage in _SPEAKS_TO_STORE:
        _set_object_store(task, settings.object_store)
    if settings.object_store is not None and stage == "train":
        _set_training(task, settings, settings.object_store, image or chosen.image)
    if settings.serving is not None and stage == "deploy":
        _set_serving(task, settings.serving)
    for name, value in sorted(chosen.env.items()):
        task.set_env_variable(name, value)


def _set_container(task: Any, chosen: StageSettings) -> None:
    if chosen.image:
        task.set_container_image(chosen.image)
    _set_cpu(task, chosen)
    if chosen.memory:
        task.set_memory_request(chosen.memory).set_memory_limit(chosen.memory)
    if chosen.accelerator:
        task.set_accelerator_type(chosen.accelerator.type).set_accelerator_limit(chosen.accelerator.count)
    if chosen.retries:
        task.set_retry(
            num_retries=chosen.retries.count,
            backoff_duration=f"{seconds(chosen.retries.wait)}s",
            backoff_factor=chosen.retries.factor,
            backoff_max_duration=f"{chosen.window()}s",
        )
    if chosen.patience:
        task.set_env_variable("RANKLIFT_PATIENCE", str(seconds(chosen.patience)))
        if chosen.timeout:
            task.set_env_variable("RANKLIFT_STAGE_SECONDS", str(seconds(chosen.timeout)))


def _set_cpu(task: Any, chosen: StageSettings) -> None:
    if chosen.cpu:
        task.set_cpu_request(chosen.cpu)
    if chosen.cpu_limit:
        task.set_cpu_limit(chosen.cpu_limit)
    for name, value in _cpu_request(chosen).items():
        task.set_env_variable(name, value)


def _cpu_request(chosen: PodSettings) -> dict[str, str]:
    """Without a limit nothing else in the pod tells how many threads are sensible on a large node."""
    return {"RANKLIFT_CPU_REQUEST": f"{cpus(chosen.cpu):g}"} if chosen.cpu and not chosen.cpu_limit else {}


def _set_pod(task: Any, stage: str, chosen: StageSettings) -> None:
    from kfp import kubernetes

    kubernetes.add_pod_label(task, STAGE_LABEL, stage)
    if chosen.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(chosen.image_pull_secrets))
    if chosen.timeout:
        kubernetes.set_timeout(task, seconds(chosen.timeout))
    if chosen.accelerator and chosen.accelerator.count > 1:
        # NCCL's processes in one pod speak through shared memory, of which a container has 64 MB.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory")  # noqa: S108
    for key, value in sorted(chosen.node_selector.items()):
        kubernetes.add_node_selector(task, key, value)
    for toleration in chosen.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())


def _set_object_store(task: Any, store: ObjectStoreAccess) -> None:
    from kfp import kubernetes

    task.set_env_variable("RANKLIFT_S3_ENDPOINT", store.endpoint)
    task.set_env_variable("RANKLIFT_S3_BUCKET", store.bucket)
    task.set_env_variable("AWS_REGION", store.region)
    if store.mount == "env":
        kubernetes.use_secret_as_env(task, store.secret, dict(store.keys))
        return
    kubernetes.use_secret_as_volume(task, store.secret, SECRETS_FOLDER)
    task.set_env_variable("RANKLIFT_S3_SECRETS_DIR", SECRETS_FOLDER)


def _set_account(task: Any, secret: str | None) -> None:
    """Give a task the token of an account other than the run's."""
    from kfp import kubernetes

    if secret is not None:
        kubernetes.use_secret_as_volume(task, secret, ACCOUNT_FOLDER)
        task.set_env_variable(ACCOUNT_VARIABLE, ACCOUNT_FOLDER)


def _set_serving(task: Any, serving: Serving) -> None:
    _set_account(task, serving.token_secret)
    task.set_env_variable("RANKLIFT_SERVING", "cluster")
    task.set_env_variable("RANKLIFT_KUBERNETES_NAMESPACE", serving.namespace)
    task.set_env_variable("RANKLIFT_INFERENCE_SERVICE", serving.inference_service)
    task.set_env_variable("RANKLIFT_DEPLOY_WITHIN", str(seconds(serving.ready_within)))
    if serving.canary_percent:
        task.set_env_variable("RANKLIFT_CANARY_PERCENT", str(serving.canary_percent))
        task.set_env_variable("RANKLIFT_CANARY_SECONDS", str(seconds(serving.canary_time)))


def _set_training(task: Any, settings: PipelineSettings, store: ObjectStoreAccess, image: str | None) -> None:
    if store.checkpoints != "off":
        task.set_env_variable("RANKLIFT_CHECKPOINTS", store.checkpoints)
    if settings.train_job is not None:
        _set_train_job(task, settings.train_job, store, image)
        _set_account(task, settings.train_job.token_secret)
    if store.checkpoints != "off" or settings.train_job is not None:
        _set_object_store(task, store)


def _set_train_job(task: Any, nodes: TrainJob, store: ObjectStoreAccess, image: str | None) -> None:
    chosen = named_image(nodes.image, "train") if nodes.image else image
    if chosen is None:
        raise RankliftError(
            "train_job needs an image for its nodes; name one there or under `defaults:`, such as "
            "registry.example.com/ranklift-{stage}:{tag}."
        )
    settings = TrainJobSettings(
        image=chosen,
        secret=store.secret,
        keys=dict(store.keys),
        namespace="",
        runtime=nodes.runtime,
        deadline=seconds(nodes.deadline),
        cpu=nodes.cpu,
        cpu_limit=nodes.cpu_limit,
        memory=nodes.memory,
        accelerator=nodes.accelerator.type if nodes.accelerator else None,
        accelerators=nodes.accelerator.count if nodes.accelerator else 0,
        node_selector=dict(nodes.node_selector),
        tolerations=[toleration.model_dump(exclude_none=True) for toleration in nodes.tolerations],
        image_pull_secrets=list(nodes.image_pull_secrets),
        env={**_cpu_request(nodes), **nodes.env},
    )
    task.set_env_variable(VARIABLE, settings.model_dump_json(exclude={"namespace"}, exclude_defaults=True))

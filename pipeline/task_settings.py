"""Settings put onto a task of the DAG, in KFP's and kfp-kubernetes' words."""

from typing import Any

from pipeline.settings import SECRETS_FOLDER, ObjectStoreAccess, PipelineSettings, Serving, StageSettings, seconds

_SPEAKS_TO_STORE = {"prepare", "champion", "promote", "deploy"}


def apply_settings(task: Any, stage: str, settings: PipelineSettings) -> None:
    """Give a task its stage's image, resources, placement, retries and time-out, and the secrets that it may read.

    Only the stages that speak to the object store get its keys, train where it keeps checkpoints there; only deploy
    learns where it deploys to.
    """
    chosen = settings.of(stage)
    _set_container(task, chosen)
    _set_pod(task, chosen)
    if settings.object_store is not None and stage in _SPEAKS_TO_STORE:
        _set_object_store(task, settings.object_store)
    if settings.object_store is not None and stage == "train" and settings.object_store.checkpoints != "off":
        _set_object_store(task, settings.object_store)
        task.set_env_variable("RANKLIFT_CHECKPOINTS", settings.object_store.checkpoints)
    if settings.serving is not None and stage == "deploy":
        _set_serving(task, settings.serving)
    for name, value in sorted(chosen.env.items()):
        task.set_env_variable(name, value)


def _set_container(task: Any, chosen: StageSettings) -> None:
    if chosen.image:
        task.set_container_image(chosen.image)
    if chosen.cpu:
        task.set_cpu_request(chosen.cpu).set_cpu_limit(chosen.cpu)
    if chosen.memory:
        task.set_memory_request(chosen.memory).set_memory_limit(chosen.memory)
    if chosen.accelerator:
        task.set_accelerator_type(chosen.accelerator.type).set_accelerator_limit(chosen.accelerator.count)
    if chosen.retries:
        task.set_retry(
            num_retries=chosen.retries.count,
            backoff_duration=f"{seconds(chosen.retries.wait)}s",
            backoff_factor=chosen.retries.factor,
            backoff_max_duration=f"{seconds(chosen.retries.longest)}s",
        )


def _set_pod(task: Any, chosen: StageSettings) -> None:
    from kfp import kubernetes

    if chosen.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(chosen.image_pull_secrets))
    if chosen.timeout:
        kubernetes.set_timeout(task, seconds(chosen.timeout))
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


def _set_serving(task: Any, serving: Serving) -> None:
    task.set_env_variable("RANKLIFT_SERVING", "cluster")
    task.set_env_variable("RANKLIFT_KUBERNETES_NAMESPACE", serving.namespace)
    task.set_env_variable("RANKLIFT_INFERENCE_SERVICE", serving.inference_service)
    task.set_env_variable("RANKLIFT_DEPLOY_WITHIN", str(seconds(serving.ready_within)))
    if serving.canary_percent:
        task.set_env_variable("RANKLIFT_CANARY_PERCENT", str(serving.canary_percent))
        task.set_env_variable("RANKLIFT_CANARY_SECONDS", str(seconds(serving.canary_time)))

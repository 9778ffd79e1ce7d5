"""The settings file: what each stage gets on a cluster, and one sentence for what cannot be used."""

from pathlib import Path

import pytest
import yaml

from components.errors import RankliftError
from components.kubernetes.account import VARIABLE as ACCOUNT_VARIABLE
from components.train.nodes.settings import VARIABLE, TrainJobSettings
from pipeline.compile import compile_pipeline
from pipeline.images import image_tag
from pipeline.settings.file import ACCOUNT_FOLDER, STAGES, PipelineSettings
from pipeline.settings.tasks import STAGE_LABEL
from pipeline.settings.units import cpus

EXAMPLE = Path(__file__).parents[3] / "stages.yaml"


def compiled(tmp_path, settings, base_models="", index_workers=1):
    defaults = {"base_models": base_models, "index_workers": index_workers}
    compile_pipeline(tmp_path / "pipeline.yaml", settings=settings, defaults=defaults)
    documents = list(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if len(documents) > 1 else {}
    return documents[0], platform


def read(tmp_path, text):
    (tmp_path / "stages.yaml").write_text(text)
    return PipelineSettings.read(tmp_path / "stages.yaml")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example in the repository, compiled: the pipeline and what Kubernetes is told beside it.

    It chooses its base model, and so has every stage that there is.
    """
    return compiled(tmp_path_factory.mktemp("compiled"), PipelineSettings.read(EXAMPLE), "a/b,c/d")


def executor(executors, stage):
    """A stage's executor; where the base model is chosen, `source` is the component that looks at all of them."""
    named = executors.get(f"exec-{stage}")
    return executors["exec-candidates"] if named is None and stage == "source" else named


def container(pipeline, stage):
    return executor(pipeline["deploymentSpec"]["executors"], stage)["container"]


def environment(pipeline, stage):
    return {item["name"]: item["value"] for item in container(pipeline, stage).get("env", [])}


def test_every_stage_gets_its_image_and_resources(example):
    pipeline, _ = example
    images = {stage: container(pipeline, stage)["image"] for stage in STAGES}
    assert images["train"] == f"ranklift-train:{image_tag()}"
    assert (images["champion"], images["hold"]) == (f"ranklift-export:{image_tag()}", f"ranklift-gate:{image_tag()}")
    assert images["measure"] == images["choose"] == f"ranklift-choose:{image_tag()}"
    assert images["evaluate"] == container(pipeline, "evaluate-2")["image"], "judged by the same code"
    train, gate = container(pipeline, "train")["resources"], container(pipeline, "gate")["resources"]
    assert (train["resourceCpuRequest"], train["resourceMemoryRequest"]) == ("500m", "4Gi")
    assert container(pipeline, "measure")["resources"] == train, "it trains as well"
    assert (gate["resourceCpuRequest"], gate["resourceMemoryLimit"]) == ("100m", "1Gi")


def test_cpu_is_requested_and_limited_only_where_a_limit_is_named(example, tmp_path):
    pipeline, _ = example
    assert all("resourceCpuLimit" not in container(pipeline, stage)["resources"] for stage in STAGES)
    assert environment(pipeline, "train")["RANKLIFT_CPU_REQUEST"] == "0.5", "so that it knows how many threads to start"
    pipeline, _ = compiled(tmp_path, read(tmp_path, "defaults: {cpu: 500m, cpu_limit: 2}"))
    resources = container(pipeline, "train")["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == ("500m", "2")
    assert environment(pipeline, "train") == {}, "the limit tells"


def test_the_example_fits_a_node_of_two_cpus_whatever_runs_beside_each_other(example):
    pipeline, _ = example
    cpu = {stage: cpus(container(pipeline, stage)["resources"]["resourceCpuRequest"]) for stage in STAGES}
    memory = {stage: int(container(pipeline, stage)["resources"]["resourceMemoryRequest"][:-2]) for stage in STAGES}
    assert cpu["train"] + cpu["champion"] <= 0.8
    assert memory["train"] + memory["champion"] <= 7
    assert 2 * cpu["evaluate"] <= 1


def test_a_stage_is_tried_again_after_longer_and_longer_waits_and_has_a_time_limit(example):
    pipeline, platform = example
    retries = pipeline["root"]["dag"]["tasks"]["train"]["retryPolicy"]
    assert retries == {
        "maxRetryCount": 2, "backoffDuration": "5s", "backoffFactor": 2.0,
        "backoffMaxDuration": f"{3 * (6 * 3600 + 600) + 5 + 10}s",
    }  # fmt: skip
    assert platform["exec-train"]["activeDeadlineSeconds"] == str(6 * 3600)
    assert platform["exec-gate"]["activeDeadlineSeconds"] == "3600"


def test_all_attempts_may_take_what_they_can_unless_the_settings_say_less(tmp_path):
    """KFP's default is an hour from the start of the first: a training that was stopped later was never tried again."""
    for text, window in (
        ("{timeout: 2h, retries: {count: 1, wait: 10s}}", 2 * (2 * 3600 + 600) + 10),
        ("{timeout: 2h, retries: {count: 3, within: 3h}}", 3 * 3600),
        ("{retries: {count: 1}}", 2 * (7 * 86400 + 600) + 5),
    ):
        pipeline, _ = compiled(tmp_path, read(tmp_path, f"stages: {{train: {text}}}"))
        retries = pipeline["root"]["dag"]["tasks"]["train"]["retryPolicy"]
        assert retries["backoffMaxDuration"] == f"{window}s"
        assert float(retries["backoffFactor"]).is_integer(), "Argo reads whole numbers alone"


def test_a_stage_knows_how_long_it_may_wait_and_when_it_is_killed(example):
    pipeline, _ = example
    known = environment(pipeline, "train")
    assert (known["RANKLIFT_PATIENCE"], known["RANKLIFT_STAGE_SECONDS"]) == ("600", str(6 * 3600))


def test_the_keys_are_mounted_where_they_are_needed_and_nowhere_else(example):
    pipeline, platform = example
    volumes = {stage: executor(platform, stage).get("secretAsVolume", []) for stage in STAGES}
    mounted = {stage for stage in STAGES if "ranklift-object-store" in {item["secretName"] for item in volumes[stage]}}
    assert mounted == {"source", "prepare", "measure", "train", "champion", "promote", "index", "deploy"}
    (volume,) = volumes["promote"]
    assert volume["secretName"] == "ranklift-object-store"
    assert environment(pipeline, "promote")["RANKLIFT_S3_SECRETS_DIR"] == volume["mountPath"]
    assert "AWS_SECRET_ACCESS_KEY" not in yaml.safe_dump(pipeline), "neither in a parameter nor in the environment"


def test_train_keeps_its_checkpoints_in_the_store_unless_told_otherwise(example, tmp_path):
    pipeline, _ = example
    assert environment(pipeline, "train")["RANKLIFT_CHECKPOINTS"] == "store"
    assert environment(pipeline, "train")["RANKLIFT_S3_BUCKET"] == "ranklift"
    store = "object_store: {endpoint: 'http://minio:9000', secret: keys, checkpoints: "
    pipeline, _ = compiled(tmp_path, read(tmp_path, f"{store} s3://others/team-a}}"))
    assert environment(pipeline, "train")["RANKLIFT_CHECKPOINTS"] == "s3://others/team-a"
    pipeline, platform = compiled(tmp_path, read(tmp_path, f"{store} off}}"))
    assert environment(pipeline, "train") == {}
    assert "secretAsVolume" not in platform["exec-train"], "and has no keys"


def test_compile_with_a_token_secret_mounts_it_into_its_stage_alone(example):
    pipeline, platform = example
    folders = {
        (stage, item["secretName"]): item["mountPath"]
        for stage in STAGES
        for item in executor(platform, stage).get("secretAsVolume", [])
        if item["secretName"] != "ranklift-object-store"
    }
    assert folders == {("deploy", "ranklift-deploy-token"): ACCOUNT_FOLDER}
    accounts = {stage: environment(pipeline, stage).get(ACCOUNT_VARIABLE) for stage in STAGES}
    assert {stage: account for stage, account in accounts.items() if account} == {"deploy": ACCOUNT_FOLDER}


def test_compile_for_several_nodes_gives_train_the_account_that_may_make_them(tmp_path):
    settings = read(tmp_path, f"{NODES}  token_secret: ranklift-train-token\n")
    pipeline, platform = compiled(tmp_path, settings)
    mounted = {item["secretName"]: item["mountPath"] for item in platform["exec-train"]["secretAsVolume"]}
    assert mounted["ranklift-train-token"] == environment(pipeline, "train")[ACCOUNT_VARIABLE] == ACCOUNT_FOLDER


def test_compile_labels_every_stages_pod_with_its_name(example):
    _, platform = example
    labels = {stage: executor(platform, stage)["podMetadata"]["labels"] for stage in STAGES}
    assert labels == {stage: {STAGE_LABEL: stage} for stage in STAGES}


def test_every_task_of_several_index_workers_has_what_the_stage_index_has(example, tmp_path):
    whole, whole_platform = example
    pipeline, platform = compiled(tmp_path, PipelineSettings.read(EXAMPLE), index_workers=4)
    for task in ("plan-index", "embed-shards", "join-index"):
        ours, theirs = container(pipeline, task), container(whole, "index")
        for part in ("image", "resources", "env"):
            assert ours[part] == theirs[part], (task, part)
        # Label, keys and service account: what the policies select by, and what the store lets in.
        assert platform[f"exec-{task}"] == whole_platform["exec-index"], task


def test_keys_can_also_become_variables_under_other_names(tmp_path):
    settings = read(
        tmp_path,
        "object_store: {endpoint: 'http://minio:9000', secret: mlpipeline-minio-artifact, mount: env,"
        " keys: {accesskey: AWS_ACCESS_KEY_ID, secretkey: AWS_SECRET_ACCESS_KEY}}",
    )
    _, platform = compiled(tmp_path, settings)
    (secret,) = platform["exec-prepare"]["secretAsEnv"]
    assert {pair["secretKey"]: pair["envVar"] for pair in secret["keyToEnv"]} == {
        "accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY",
    }  # fmt: skip


def test_only_deploy_learns_where_it_deploys_to(tmp_path):
    settings = read(tmp_path, "serving: {namespace: search, canary_percent: 10, canary_time: 5m}")
    pipeline, _ = compiled(tmp_path, settings)
    assert environment(pipeline, "deploy") == {
        "RANKLIFT_SERVING": "cluster", "RANKLIFT_KUBERNETES_NAMESPACE": "search",
        "RANKLIFT_INFERENCE_SERVICE": "ranklift", "RANKLIFT_DEPLOY_WITHIN": "540",
        "RANKLIFT_CANARY_PERCENT": "10", "RANKLIFT_CANARY_SECONDS": "300",
    }  # fmt: skip
    assert environment(pipeline, "promote") == {}


NODES = """
object_store: {endpoint: 'http://minio:9000', secret: keys}
defaults: {image: 'r.io/ranklift-{stage}:1'}
train_job:
  cpu: 8
  memory: 32Gi
  accelerator: {type: nvidia.com/gpu, count: 8}
  node_selector: {gpu: l4}
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  deadline: 2h
"""


def test_train_learns_what_its_nodes_are_and_gets_the_keys_where_it_may_ask_for_several(tmp_path, monkeypatch):
    pipeline, platform = compiled(tmp_path, read(tmp_path, NODES), "a/b,c/d")
    monkeypatch.setenv(VARIABLE, environment(pipeline, "train")[VARIABLE])
    nodes = TrainJobSettings.from_environment()
    assert (nodes.image, nodes.secret, nodes.runtime) == ("r.io/ranklift-train:1", "keys", "torch-distributed")
    assert (nodes.cpu, nodes.memory, nodes.accelerator, nodes.accelerators) == ("8", "32Gi", "nvidia.com/gpu", 8)
    assert (nodes.cpu_limit, nodes.env["RANKLIFT_CPU_REQUEST"]) == (None, "8")
    assert (nodes.deadline, nodes.node_selector) == (7200, {"gpu": "l4"})
    assert nodes.tolerations == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert nodes.namespace == "kubeflow", "that of the runs, where no pod says it"
    assert platform["exec-train"]["secretAsVolume"][0]["secretName"] == "keys"
    assert environment(pipeline, "train")["RANKLIFT_S3_ENDPOINT"] == "http://minio:9000"
    assert all(VARIABLE not in environment(pipeline, stage) for stage in STAGES if stage != "train")


def test_the_commented_example_of_nodes_is_one_that_can_be_used(tmp_path):
    lines = EXAMPLE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# train_job:"))
    end = next(number for number, line in enumerate(lines) if number > start and not line.startswith("#"))
    lines[start:end] = [line.removeprefix("# ") for line in lines[start:end]]
    settings = read(tmp_path, "\n".join(lines))
    assert (settings.train_job.accelerator.count, settings.train_job.deadline) == (8, "6h")


def test_several_accelerators_of_a_stage_share_memory(tmp_path):
    for count, mounted in ((1, []), (2, ["/dev/shm"])):  # noqa: S108
        text = f"stages: {{train: {{accelerator: {{type: nvidia.com/gpu, count: {count}}}}}}}"
        _, platform = compiled(tmp_path, read(tmp_path, text))
        volumes = platform.get("exec-train", {}).get("emptyDirMounts", [])
        assert [volume["mountPath"] for volume in volumes] == mounted


def test_nodes_without_an_image_are_refused_when_the_pipeline_is_compiled(tmp_path):
    settings = read(tmp_path, NODES.replace("defaults:", "# defaults:"))
    with pytest.raises(RankliftError, match="train_job needs an image for its nodes"):
        compiled(tmp_path, settings)


def test_a_stage_can_ask_for_an_accelerator_and_the_nodes_that_have_one(tmp_path):
    settings = read(
        tmp_path,
        """
stages:
  train:
    accelerator: {type: nvidia.com/gpu, count: 2}
    node_selector: {gpu: l4}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    image_pull_secrets: [registry]
    env: {OMP_NUM_THREADS: 4}
""",
    )
    pipeline, platform = compiled(tmp_path, settings)
    accelerator = container(pipeline, "train")["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")
    assert platform["exec-train"]["nodeSelector"] == {"labels": {"gpu": "l4"}}
    (toleration,) = platform["exec-train"]["tolerations"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}.items() <= toleration.items()
    assert platform["exec-train"]["imagePullSecret"][0]["secretName"] == "registry"
    assert environment(pipeline, "train") == {"OMP_NUM_THREADS": "4"}
    others = {name: part for name, part in platform.items() if name != "exec-train"}
    assert {key for part in others.values() for key in part} == {"podMetadata"}, "train alone"


def test_the_example_names_only_what_the_predictor_and_the_manifest_know():
    settings = PipelineSettings.read(EXAMPLE)
    manifest = yaml.safe_load((EXAMPLE.parent / "kserve" / "inference-service.yaml").read_text())
    assert settings.serving.namespace == manifest["metadata"]["namespace"]
    assert settings.serving.inference_service == manifest["metadata"]["name"]

"""The walk as a cluster walks it: each stage in its own image, an S3 server on the network, a predictor's container."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.deploy.machine.folder import current_version
from components.deploy.smoke import post
from components.errors import RankliftError
from pipeline.containers import compose
from pipeline.containers.build import docker
from pipeline.containers.predictor import predictor_container, serve_in_container
from pipeline.local.ask import ask_champion, example_request
from pipeline.local.run import run_locally

STAGES = "source prepare train export evaluate champion evaluate-2 gate promote deploy".split()


def test_before_the_first_promotion_only_the_store_runs_and_what_to_do_is_said(stack):
    assert "ranklift run --runner docker" in stack.told[-1]


def test_a_real_gain_is_promoted_and_deployed(stack, walks):
    assert walks.promoted.decision.verdict == "promote"
    assert sorted(stage.stage for stage in walks.promoted.stages) == sorted(STAGES)
    champion = stack.registry.champion()
    assert champion is not None
    assert champion.version == "V0"
    assert current_version(stack.home) == "V0"


def test_the_same_candidate_meets_itself_and_is_held(stack, walks):
    assert walks.held.decision.verdict == "hold"
    assert [stage.stage for stage in walks.held.stages][-1] == "hold"
    assert [manifest.version for manifest in stack.registry.list_versions("model")] == ["V0"]


def test_each_stage_ran_in_its_own_image_and_none_by_a_moving_tag(stack, walks):
    compiled = (walks.promoted.log.parent / "pipeline.yaml").read_text()
    choosing = {"candidates", "measure", "choose"}  # only in a run that compares base models
    for image in {image for stage, image in stack.containers.images.items() if stage not in choosing}:
        assert f"image: {image}\n" in compiled
    assert ":latest" not in compiled


def test_the_keys_are_in_no_file_of_the_run(stack, walks):
    keys = [line.split("=", 1)[1] for line in (stack.home / "containers.env").read_text().splitlines() if "KEY" in line]
    assert len(keys) == 2
    for path in walks.promoted.log.parent.rglob("*"):
        if path.is_file() and path.suffix in {".yaml", ".json", ".log", ".html"}:
            assert not any(key in path.read_text(errors="replace") for key in keys), path


@pytest.fixture(scope="module")
def initialized(stack, walks, test_images, tmp_path_factory):
    """The promoted version, as KServe's storage initializer lays it down for a predictor."""
    folder = tmp_path_factory.mktemp("mnt")
    folder.chmod(0o777)
    keys = dict(line.split("=", 1) for line in (stack.home / "containers.env").read_text().splitlines() if "=" in line)
    command = [
        docker(), "run", *"--rm --read-only --tmpfs /tmp --network".split(), stack.containers.settings.network,
        "--env", "AWS_ACCESS_KEY_ID", "--env", "AWS_SECRET_ACCESS_KEY", "--env", "AWS_ENDPOINT_URL=http://store:9000",
        "--env", "S3_ENDPOINT=store:9000", "--env", "S3_USE_HTTPS=0", "--env", "AWS_DEFAULT_REGION=us-east-1",
        "--volume", f"{folder}:/mnt/models", test_images["storage-initializer"],
        "s3://ranklift/models/V0/", "/mnt/models",
    ]  # fmt: skip
    result = subprocess.run(command, env=keys, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def test_what_kserves_storage_initializer_downloads_is_served(stack, walks, initialized):
    request = example_request(walks.promoted.dataset, walks.promoted.champion_scores)
    with predictor_container(stack.containers.predictor, initialized) as url:
        answer = post(url, "/find_similar", request, 30, proxies=False)
    assert answer["index"] == len(request["documents"]) - 1
    assert answer["document"] == request["documents"][-1]


def test_the_run_asks_a_predictor_in_a_container(stack, walks):
    serve = serve_in_container(stack.containers)
    asked = ask_champion(stack.home, walks.promoted.dataset, walks.promoted.champion_scores, serve)
    assert asked is not None
    assert asked.answer["model_version"] == "V0"


def test_docker_up_serves_the_champion_and_may_be_typed_twice(stack, walks):
    request = example_request(walks.promoted.dataset, walks.promoted.champion_scores)
    for _ in range(2):
        told: list[str] = []
        compose.up(stack.home, stack.containers.tag, "", told.append)
        assert told[-1] == f"The predictor serves V0 at {stack.predictor_url}."
    answer = post(stack.predictor_url, "/find_similar", request, 30, proxies=False)
    assert (answer["model_version"], answer["index"]) == ("V0", len(request["documents"]) - 1)
    name = subprocess.run(
        [docker(), "ps", "-q", "--filter", "label=com.docker.compose.service=predictor"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[0]  # fmt: skip
    (container,) = json.loads(subprocess.run([docker(), "inspect", name], capture_output=True, check=True).stdout)
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert container["Config"]["User"].split(":")[0] not in ("", "0", "root")


def test_a_container_that_is_removed_while_it_works_fails_the_run_and_is_named(stack, parameters):
    """KFP takes it for a failure or, when it is gone before KFP asked for its status, for a success."""
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(run_locally, parameters, stack.home, print, stack.containers)
        while not run.done():
            command = [docker(), "ps", "-q", "--filter", f"ancestor={stack.containers.images['prepare']}"]
            if found := subprocess.run(command, capture_output=True, text=True, check=True).stdout.split():
                subprocess.run([docker(), "rm", "--force", *found], capture_output=True, check=False)
            time.sleep(0.2)
        with pytest.raises(RankliftError, match=r"Stage (source|prepare) (failed|ended and left no result)"):
            run.result()


def test_a_problem_that_the_user_can_fix_is_told_in_the_stages_own_sentence(stack, parameters):
    missing = parameters | {"data": "/no/such/triplets.csv"}
    with pytest.raises(RankliftError, match=r"/no/such/triplets\.csv"):
        run_locally(missing, stack.home, print, stack.containers)

"""What every image promises: who runs in it, what is in it and what not, and that it needs neither network nor pip."""

import json
import subprocess

import pytest

from pipeline.containers.build import check_image, docker
from pipeline.images import PREDICTOR, TARGETS

#: What each stage imports when it runs; the component itself is not among it, since KFP ships its source.
MODULES = {
    "prepare": "components.prepare.stage components.prepare.filters.near_duplicates sentence_transformers sympy",
    "choose": "components.measure.worker components.measure.stage components.choose.report openvino pytrec_eval bm25s",
    "train": "components.train.nodes.node components.train.nodes.run components.train.curve kubernetes",
    "export": "components.export.stage components.champion.champion openvino nncf sentence_transformers",
    "evaluate": "components.evaluate.evaluate openvino pytrec_eval bm25s Stemmer",
    "gate": "components.gate.decide components.gate.report components.hold.hold matplotlib duckdb",
    "promote": "components.promote.promote components.registry.registry",
    "index": "components.index.promote openvino usearch.index pytrec_eval huggingface_hub",
    "deploy": "components.deploy.machine.deploy components.model.encoder openvino kubernetes",
    PREDICTOR: "predictor.settings openvino tokenizers kserve",
}
WITHOUT_TORCH = ("evaluate", "gate", "promote", "index", "deploy", PREDICTOR)
NAMES = [*TARGETS, PREDICTOR]


def image_of(containers, name: str) -> str:
    return containers.predictor if name == PREDICTOR else containers.images[name]


def inside(image: str, *command: str) -> subprocess.CompletedProcess:
    """Run a command in a container with no network and a root that cannot be written to."""
    confined = "--rm --read-only --tmpfs /tmp --network none --cap-drop ALL --entrypoint".split()
    return subprocess.run(
        [docker(), "run", *confined, "", image, *command], capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_number_and_says_what_it_is(containers, name):
    image = image_of(containers, name)
    (found,) = json.loads(subprocess.run([docker(), "image", "inspect", image], capture_output=True, check=True).stdout)
    assert found["Config"]["User"] == "10001:10001"
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in found["Config"]["Labels"].items()}
    assert labels["title"] == f"ranklift {name}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["revision"] == containers.tag
    assert labels["version"][0].isdigit()
    history = subprocess.run([docker(), "history", "--no-trunc", image], capture_output=True, text=True, check=True)
    assert "BEGIN CERTIFICATE" not in history.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_has_what_it_imports_with_no_network_and_nothing_to_write_to(containers, name):
    modules = [*MODULES[name].split(), *([] if name == PREDICTOR else ["kfp.dsl.executor_main"])]
    imports = "; ".join(f"import {module}" for module in modules)
    checks = "import os, sys; os.environ['_KFP_RUNTIME'] = 'true'; assert os.getuid() == 10001"
    result = inside(image_of(containers, name), "python3", "-c", f"{checks}; {imports}; print('done')")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("done")


@pytest.mark.parametrize("name", NAMES)
def test_it_carries_no_pip_no_certificate_of_the_builder_and_torch_only_where_a_model_is_made(containers, name):
    script = "from importlib.util import find_spec as f; print(f('pip'), f('torch') is None)"
    result = inside(image_of(containers, name), "python3", "-c", script)
    assert result.stdout.split() == ["None", str(name in WITHOUT_TORCH)], result.stderr
    assert inside(image_of(containers, name), "test", "-e", "/run/secrets/pip_ca").returncode == 1


def test_the_predictor_stays_small(containers):
    # 57 MB of it are usearch and its kernels, which POST /search needs.
    assert check_image(containers.predictor) < 660e6

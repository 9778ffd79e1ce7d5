"""What a training that was stopped ends with: a status of its own, and one sentence."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from components.train.loop.progress import ProgressLines
from pipeline import cli
from pipeline.compile import compile_pipeline

STOP = "Training was stopped by SIGTERM at step 1"
#: A process that gets SIGTERM in its tenth step, and is otherwise what KFP starts in a stage's container.
STAGE = """
import os
import runpy
import signal

from components.train.loop.progress import ProgressLines

def stop_at_step_ten(self, args, state, control, **kwargs):
    if state.global_step == 10:
        os.kill(os.getpid(), signal.SIGTERM)

ProgressLines.on_step_end = stop_at_step_ten
runpy.run_module("kfp.dsl.executor_main", run_name="__main__", alter_sys=True)
"""


def test_the_stage_ends_with_143_and_one_sentence(dataset, tmp_path):
    compile_pipeline(tmp_path / "pipeline.yaml")
    specification = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    source = specification["deploymentSpec"]["executors"]["exec-train"]["container"]["command"][-1]
    (tmp_path / "ephemeral_component.py").write_text(source)

    def artifact(name, kind, path):
        found = {"name": name, "type": {"schemaTitle": f"system.{kind}"}, "uri": str(path), "metadata": {}}
        return {name: {"artifacts": [found]}}

    outputs = [artifact(name, kind, tmp_path / "out" / name) for name, kind in
               (("model", "Model"), ("metrics", "Metrics"), ("curve", "HTML"))]  # fmt: skip
    parameters = {
        "recipe": "seed", "epochs": 4.0, "batch_size": 16, "learning_rate": 0.002, "seed": 42,
        "processes": 1, "num_nodes": 1, "teacher": "",
    }  # fmt: skip
    executor_input = {
        "inputs": {"parameterValues": parameters, "artifacts": artifact("dataset", "Dataset", dataset)},
        "outputs": {
            "artifacts": {name: found for output in outputs for name, found in output.items()},
            "outputFile": str(tmp_path / "out" / "executor_output.json"),
        },
    }
    command = [
        sys.executable, "-c", STAGE, "--component_module_path", str(tmp_path / "ephemeral_component.py"),
        "--executor_input", json.dumps(executor_input), "--function_to_execute", "train",
    ]  # fmt: skip
    environment = {**os.environ, "_KFP_RUNTIME": "true", "RANKLIFT_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 128 + signal.SIGTERM, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ranklift: error: {STOP}")
    assert last.endswith("run the same command again to resume from there.")
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "cache" / "training").glob(".train-*/checkpoint-1?/trainer_state.json"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_the_command_ends_as_a_shell_has_it(dataset, tmp_path, monkeypatch, capsys, number, status):
    def stop_at_the_first_step(self, args, state, control, **kwargs):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(ProgressLines, "on_step_end", stop_at_the_first_step)
    monkeypatch.setattr(sys, "argv", ["ranklift", "train", str(dataset), "-o", str(tmp_path / "model")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert f"ranklift: error: Training was stopped by {number.name} at step" in capsys.readouterr().err


def test_a_mistake_of_the_user_is_another_status(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ranklift", "train", str(dataset), "-o", str(dataset)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err

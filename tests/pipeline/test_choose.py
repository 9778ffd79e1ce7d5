"""Choosing a base model: by `ranklift choose`, and as the head of the pipeline, with one candidate that cannot be."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from components.errors import RankliftError
from components.registry.registry import open_registry
from pipeline.cli import app
from pipeline.compile import compile_pipeline
from pipeline.local.run import run_locally
from pipeline.parameters import check_parameters, settled
from tests.factories.datasets import write_triplets

QUICK = ("--examples", "64", "--learning-rate", "1e-5", "--precision", "fp32")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_choose_of_a_dominated_and_a_damaged_model_recommends_the_other(choosable, skilled, clumsy, damaged, tmp_path):
    models = ",".join(map(str, (clumsy, damaged, skilled)))
    report, output = tmp_path / "choice.html", tmp_path / "choice.json"
    arguments = ["choose", "--models", models, "--data", str(choosable), "--report", str(report), "-o", str(output)]
    result = CliRunner().invoke(app, [*arguments, *QUICK, "--json"])
    assert result.exit_code == 0, result.output
    choice = json.loads(result.stdout)
    assert choice["base_model"] == str(skilled)
    best, other = choice["candidates"]
    assert (best["base_model"], other["base_model"]) == (str(skilled), str(clumsy))
    # The other is several times as large; a machine that is busy with something else may time it as the faster.
    is_slower = other["texts_per_second"] <= best["texts_per_second"]
    assert (best["dominated_by"], other["dominated_by"]) == ("", str(skilled) if is_slower else "")
    assert "cannot be opened" in choice["failed"][str(damaged)]
    assert json.loads(output.read_text())["reason"] == choice["reason"]
    assert (f"below {skilled}" in report.read_text()) == is_slower


def test_a_pipeline_that_chooses_holds_queries_out_however_few_they_are(tmp_path):
    compile_pipeline(tmp_path / "pipeline.yaml", defaults={"base_models": ["a/b", "c/d"]})
    pipeline = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    tasks = pipeline["root"]["dag"]["tasks"].values()
    prepares = [task for task in tasks if task["componentRef"]["name"].startswith("comp-prepare")]
    assert len(prepares) == 2
    for task in prepares:
        assert task["inputs"]["parameters"]["folds"] == {"runtimeValue": {"constant": 1.0}}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_with_several_base_models_trains_the_chosen_one(
    skilled, clumsy, damaged, registry, tmp_path, monkeypatch
):
    for name, value in registry.store.settings.environment().items():
        monkeypatch.setenv(name, value)
    parameters = {
        "data": str(write_triplets(tmp_path / "triplets.csv", 400)), "evaluation_queries": 60.0, "dev_queries": 40.0,
        "base_models": [str(clumsy), str(damaged), str(skilled)], "trial_examples": 64, "epochs": 1.0,
        "learning_rate": 1e-5, "precision": "fp32",
    }  # fmt: skip
    lines: list[str] = []
    result = run_locally(parameters, tmp_path / "home", lines.append)
    names = [stage.stage for stage in result.stages]
    assert names[:7] == ["candidates", "prepare", "measure", "measure", "measure", "choose", "prepare-2"]
    assert f"the base model ({skilled})" in result.decision.champion_model
    told = "\n".join(lines)
    assert f"measure: {damaged} is left out: {damaged} cannot be opened" in told
    assert f"choose: {skilled} has the highest NDCG@10" in told
    assert [version.lineage.base_model for version in open_registry().list_versions("dataset")] == [
        str(clumsy),
        str(skilled),
    ]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_choose_that_is_stopped_ends_with_the_signals_status_and_leaves_no_process(
    choosable, skilled, clumsy, tmp_path
):
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "choose",
        "--models",
        f"{skilled},{clumsy}",
        "--data",
        str(choosable),
    ]
    process = subprocess.Popen([*command, *QUICK], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    line = next(line for line in process.stderr if "untouched, NDCG@10" in line)
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    (worker,) = open(children).read().split()  # noqa: SIM115, PTH123 - a file of the kernel's
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(60) == 128 + signal.SIGTERM, line + said
    assert "was stopped by SIGTERM" in said
    assert not os.path.exists(f"/proc/{worker}")  # noqa: PTH110


BAD = {
    "twice": (["--models", "{skilled},{skilled}"], "is named twice"),
    "data": (["--models", "/no/such/model", "--data", "none.csv"], "There is no file or folder none.csv"),
    "unknown": (["--models", "{skilled},/no/such/model"], "There is no base model at '/no/such/model'"),
    "recipe": (["--models", "{skilled}", "--recipe", "magic"], "There is no recipe 'magic'"),
    "precision": (["--models", "{skilled}", "--precision", "fp8"], "precision = 'fp8' is invalid for `measure`"),
    "margin": (["--models", "{skilled}", "--margin", "-1"], "Invalid value for '--margin'"),
}


@pytest.mark.parametrize(("arguments", "complaint"), BAD.values(), ids=BAD)
def test_choose_with_an_invalid_parameter_begins_nothing(tiny_model, tmp_path, arguments, complaint):
    data = write_triplets(tmp_path / "triplets.csv", 10)
    flags = [argument.format(skilled=tiny_model) for argument in arguments]
    command = [sys.executable, "-m", "pipeline.cli", "choose", "--data", str(data), *flags]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == [data]


def root_of(path):
    return next(yaml.safe_load_all(path.read_text()))["root"]


def test_compile_with_base_models_measures_each_one_after_the_other(tmp_path):
    compile_pipeline(tmp_path / "pipeline.yaml", defaults={"base_models": "a/b,c/d"})
    root = root_of(tmp_path / "pipeline.yaml")
    parameters = root["inputDefinitions"]["parameters"]
    assert parameters["base_models"]["defaultValue"] == ["a/b", "c/d"]
    assert "base_model" not in parameters
    loop = root["dag"]["tasks"]["for-loop-1"]
    assert loop["parameterIterator"]["items"] == {"inputParameter": "pipelinechannel--base_models"}
    assert loop["iteratorPolicy"] == {"parallelismLimit": 1}


@pytest.mark.parametrize("defaults", [None, {"base_models": "a/b"}], ids=["none", "one"])
def test_compile_without_a_choice_has_no_stage_more_than_before(tmp_path, defaults):
    compile_pipeline(tmp_path / "pipeline.yaml", defaults=defaults)
    root = root_of(tmp_path / "pipeline.yaml")
    assert not {"base_models", "trial_examples", "choose_margin"} & set(root["inputDefinitions"]["parameters"])
    assert not {"candidates", "choose", "for-loop-1"} & set(root["dag"]["tasks"])


SETTLED = {
    "none": ({"base_models": "", "trial_examples": 5, "choose_margin": 0.1, "seed": 7}, {"seed": 7}),
    "one": ({"base_models": "a/b", "base_model": "auto"}, {"base_model": "a/b"}),
    "several": (
        {"base_models": "a/b, c/d", "base_model": "auto", "trial_examples": 5},
        {"base_models": ["a/b", "c/d"], "trial_examples": 5},
    ),
}


@pytest.mark.parametrize(("parameters", "expected"), SETTLED.values(), ids=SETTLED)
def test_settled_parameters_are_those_of_the_pipeline_for(parameters, expected):
    assert settled(parameters) == expected


def test_settled_with_a_base_model_and_a_choice_is_an_error():
    with pytest.raises(RankliftError, match="base_model=e/f and base_models=a/b,c/d exclude each other"):
        settled({"base_model": "e/f", "base_models": "a/b,c/d"})


INVALID = {
    "twice": ({"base_models": "a/b,a/b"}, "is named twice"),
    "empty": ({"base_models": "a/b,"}, "'' is no name of a base model"),
    "no examples": ({"trial_examples": 0}, "examples = 0 is invalid for `measure`"),
    "margin": ({"choose_margin": 2.0}, "margin = 2.0 is invalid for `choose`"),
}


@pytest.mark.parametrize(("parameters", "complaint"), INVALID.values(), ids=INVALID)
def test_check_parameters_of_a_choice_refuses(parameters, complaint):
    with pytest.raises(RankliftError, match=complaint):
        check_parameters(parameters)

"""The command line: one sentence for what the user can fix, JSON alone on standard output, statuses for scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.records.scores import ScoreFile
from pipeline.cli import app
from tests.components.prepare.conftest import write_beir

RANKLIFT = [sys.executable, "-m", "pipeline.cli"]
COMMANDS = [
    "run",
    "compile",
    "submit",
    "doctor",
    "choose",
    "prepare",
    "train",
    "export",
    "evaluate",
    "gate",
    "index",
    "serve",
    "search",
    "compare",
    "deploy",
    "rollback",
    "prune",
    "verify",
    "models",
    "datasets",
    "indexes",
]


def ranklift(*arguments, **options):
    return subprocess.run(
        [*RANKLIFT, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def score_file(path: Path, name: str, shift: float, dataset: str = "d" * 64) -> Path:
    scores = {f"q{number}": min(1.0, number % 10 / 20 + shift) for number in range(100)}
    mean = sum(scores.values()) / len(scores)
    ScoreFile.model_validate(
        {
            "ndcg@10": mean, "metrics": {"ndcg@10": mean, "recall@100": mean}, "dataset_digest": dataset,
            "per_query": {"ndcg@10": scores, "recall@100": scores},
            "model_digest": name, "model": name, "encoder": {"max_seq_length": 64}, "corpus_size": 100,
            "latency_ms": 5.0, "model_bytes": 1000,
        }
    ).write(path)  # fmt: skip
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Example:" in result.output or "Commands" in result.output


@pytest.mark.parametrize(
    ("gain", "status", "verdict"),
    [pytest.param(0.2, 0, "promote", id="promote is 0"), pytest.param(-0.01, 1, "hold", id="hold is 1")],
)
def test_the_gate_answers_scripts_by_its_status(tmp_path, gain, status, verdict):
    candidate = score_file(tmp_path / "candidate.json", "candidate", 0.2 + gain)
    champion = score_file(tmp_path / "champion.json", "champion", 0.2)
    result = ranklift("gate", candidate, champion, "-o", tmp_path / "decision.json", "--json")
    assert result.returncode == status, result.stderr
    assert json.loads(result.stdout)["verdict"] == verdict
    assert json.loads((tmp_path / "decision.json").read_text())["verdict"] == verdict


def test_the_report_of_the_gate_opens_in_the_browser(tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    scores = [score_file(tmp_path / f"{name}.json", name, 0.2) for name in ("candidate", "champion")]
    result = ranklift("gate", *scores, "--open", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "evaluation.html").as_uri()


def test_a_split_is_evaluated_by_its_name_and_its_encodings_are_used_again(exported_tiny_model, tmp_path, monkeypatch):
    folder = write_beir(
        tmp_path / "beir",
        passages={name: {"text": f"sort the {name}"} for name in ("array", "graph", "tree")},
        queries={"q": {"text": "array"}},
        qrels={"dev": [("q", "array", 1)]},
    )
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    arguments = ["evaluate", str(exported_tiny_model), "--data", str(folder), "--split", "dev", "--json"]
    first, again = (json.loads(CliRunner().invoke(app, arguments).stdout) for _ in range(2))
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["metrics"] == first["metrics"]


def test_the_gate_refuses_scores_of_different_evaluation_sets(tmp_path):
    candidate = score_file(tmp_path / "candidate.json", "candidate", 0.3)
    champion = score_file(tmp_path / "champion.json", "champion", 0.2, dataset="e" * 64)
    result = ranklift("gate", candidate, champion)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "ranklift: error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["prepare", "nowhere.csv", "-o", "out"], "nowhere.csv", id="no such data"),
        pytest.param(["train", "nowhere", "-o", "out"], "nowhere/manifest.json", id="no such dataset"),
        pytest.param(["train", "data", "-o", "out", "--num-nodes", "2"], "add `train_job:`", id="nodes of no cluster"),
        pytest.param(["export", "./nowhere", "-o", "out", "--data", "nowhere"], "nowhere", id="no such model"),
        pytest.param(["evaluate", ".", "--data", "nowhere"], "is not an exported model", id="not an exported model"),
        pytest.param(["gate", "a.json", "b.json"], "There is no score file at a.json", id="no score file"),
        pytest.param(["compile", "-o", "pipeline.txt"], "must end in .yaml", id="not YAML"),
        pytest.param(["serve", "--model", "nowhere"], "nowhere is not an exported model", id="nothing to serve"),
        pytest.param(["models", "show", "latest"], "versions are named like", id="no version"),
    ],
)
def test_a_problem_is_one_sentence_and_status_2(tmp_path, arguments, sentence):
    result = ranklift(*arguments, cwd=tmp_path, env=environment(tmp_path))
    assert result.returncode == 2
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ranklift: error: ")
    assert sentence in last
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_registry_is_listed_as_empty(tmp_path):
    result = ranklift("models", "list", "--json", cwd=tmp_path, env=environment(tmp_path))
    assert (result.returncode, json.loads(result.stdout)) == (0, []), result.stderr


def test_serving_before_anything_was_promoted_says_what_to_run(tmp_path):
    result = ranklift("serve", cwd=tmp_path, env=environment(tmp_path))
    assert result.returncode == 2
    assert "run `ranklift run --data URI` first" in result.stderr


def test_compiling_twice_gives_the_checked_snapshot(tmp_path):
    result = ranklift("compile", "-o", tmp_path / "pipeline.yaml")
    assert result.returncode == 0, result.stderr
    snapshot = Path(__file__).parent / "pipeline.yaml"
    renew = "the DAG changed: `ranklift compile -o tests/pipeline/pipeline.yaml` renews the snapshot"
    assert (tmp_path / "pipeline.yaml").read_text() == snapshot.read_text(), renew


def test_a_package_that_is_not_installed_is_named_with_the_extra_that_brings_it(tmp_path):
    code = "import sys; sys.modules['kfp'] = None; from pipeline.cli import main; main()"  # as if it were not there
    command = [sys.executable, "-c", code, "compile", "-o", str(tmp_path / "pipeline.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(
        "ranklift: error: This command needs the package kfp, which is not installed; `pip "
    )
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(["gate", "candidate.json", "champion.json"], 0, id="gate"),
        pytest.param(["models", "show", "latest"], 2, id="models"),
    ],
)
def test_the_core_alone_judges_and_reads_the_registry(tmp_path, arguments, status):
    score_file(tmp_path / "candidate.json", "candidate", 0.4)
    score_file(tmp_path / "champion.json", "champion", 0.2)
    missing = "duckdb kfp matplotlib openvino pandas pyarrow".split()
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); from pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    environ = {**os.environ, "RANKLIFT_HOME": str(tmp_path / "home"), "RANKLIFT_S3_ENDPOINT": "http://127.0.0.1:9"}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == status, result.stderr
    assert "not installed" not in result.stderr


def test_help_costs_no_heavy_import():
    heavy = "{'torch', 'kfp', 'openvino', 'transformers', 'pandas', 'duckdb', 'scipy'}"
    code = f"import sys, pipeline.cli; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.strip() == "[]", result.stderr


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1"}

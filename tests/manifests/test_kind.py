"""`make kind-up`, `kind-load` and `kind-down`, with programs in place of kind, kubectl and docker: they write down how
they were called, and answer as a test says."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tests.manifests.rendering import MANIFESTS, PROJECT

#: Built-ins alone: the PATH has nothing else, and a program is started forty times a test.
PROGRAM = """#!/bin/bash
folder=${0%/*}
call="${0##*/} $*"
printf '%s\\n' "$call" >>"$folder/calls"
[[ $call =~ ' -k '(.*)$ && -f ${BASH_REMATCH[1]}/kustomization.yaml ]] &&
    printf '%s\\n' "$(<"${BASH_REMATCH[1]}/kustomization.yaml")" >>"$folder/kustomizations"
while IFS=$'\\t' read -r number status times pattern output; do
    [[ $call =~ $pattern ]] || continue
    answered=0
    [[ -f $folder/answered-$number ]] && read -r answered <"$folder/answered-$number"
    ((times == 0 || answered < times)) || continue
    echo $((answered + 1)) >"$folder/answered-$number"
    if ((status == 77)); then
        read -rt "$output" <> <(:) &
        echo "$!" >"$folder/sleeping"
        wait
    fi
    ((status)) && exec >&2
    printf '%b\\n' "$output"
    exit "$status"
done <"$folder/answers"
"""
SLEEPS = 77  #: a status: the program starts another one, which sleeps so many seconds, and waits for it
#: Answers: the pattern of a call, the status, what is printed, how often (0: always). The first that fits is given.
USUAL = [["^kind version", 0, "kind v0.32.0 go1.25.1 linux/amd64", 0], ["^docker info", 0, "29.0.1", 0]]


class Machine:
    """A folder with the project's manifests, and a PATH with just our programs."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        shutil.copytree(MANIFESTS, self.project / "manifests", ignore=shutil.ignore_patterns("*.env", "__pycache__"))
        shutil.copy(PROJECT / "kind-config.yaml", self.project)
        (self.project / "kserve").mkdir()
        shutil.copy(PROJECT / "kserve" / "inference-service.yaml", self.project / "kserve")
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("kind", "kubectl", "docker", "git"):
            program = self.programs / name
            program.write_text(PROGRAM)
            program.chmod(0o755)

    def run(self, *arguments: str, answers: Sequence[Sequence[object]] = ()) -> subprocess.CompletedProcess:
        lines = (
            "\t".join(map(str, (number, status, times, pattern, output.replace("\n", "\\n"))))
            for number, (pattern, status, output, times) in enumerate([*answers, *USUAL])
        )
        (self.programs / "answers").write_text("\n".join(lines) + "\n")
        environment = {**os.environ, "PATH": str(self.programs), "RANKLIFT_KIND_POLL": "0.05"}
        command = [sys.executable, str(self.project / "manifests" / "kind.py"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    @property
    def calls(self) -> list[str]:
        return (self.programs / "calls").read_text().splitlines()

    @property
    def applied(self) -> list[str]:
        """The folders that were applied, in order, each once for every try."""
        found = (re.search(r"apply .*-k \S+/manifests/(\S+)", call) for call in self.calls)
        return [match[1] for match in found if match]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


ORDER = [
    "overlays/kind/metrics-server",
    "upstream/cert-manager",
    "upstream/gateway-api",
    "upstream/envoy-gateway",
    "upstream/kserve-crds",
    "overlays/kind/kserve",
    "upstream/pipelines-crds",
    "overlays/kind",
    "upstream/pipelines",
]


def test_up_makes_the_cluster_and_applies_each_part_after_what_it_needs(machine):
    result = machine.run("up")
    assert result.returncode == 0, result.stderr
    assert machine.applied == ORDER
    assert any(call.startswith("kind create cluster --config") for call in machine.calls)
    lines = [line for line in result.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(ORDER) + 2  # the cluster first, the gateway last
    assert all(re.fullmatch(r"\[ ?\d+/11\] .+ … ready \(\d+ s\)", line) for line in lines)


def test_up_waits_for_each_part_before_the_next(machine):
    machine.run("up")
    calls = [call for call in machine.calls if " apply " in call or " wait " in call]
    for first, second in pairwise(calls):
        assert " wait " in second or " wait " in first, f"{second} did not wait for {first}"


def test_every_folder_that_up_applies_is_there(machine):
    assert all((MANIFESTS / folder / "kustomization.yaml").is_file() for folder in ORDER)


def test_no_call_can_touch_another_cluster(machine):
    machine.run("up")
    machine.run("down", answers=[["^kind get clusters", 0, "ranklift", 0]])
    kubectl = [call for call in machine.calls if call.startswith("kubectl") and "--client" not in call]
    assert len(kubectl) > 20
    assert all(call.startswith("kubectl --context kind-ranklift ") for call in kubectl)
    assert [call for call in machine.calls if "delete cluster" in call] == ["kind delete cluster --name ranklift"]


def test_up_a_second_time_keeps_the_cluster_and_the_keys(machine):
    machine.run("up")
    keys = {path.name: path.read_text() for path in (machine.project / "manifests" / "secrets").glob("*.env")}
    result = machine.run("up", answers=[["^kind get clusters", 0, "other\nranklift", 0]])
    assert result.returncode == 0, result.stderr
    assert sum("create cluster" in call for call in machine.calls) == 1
    assert machine.applied == ORDER * 2
    assert {path.name: path.read_text() for path in (machine.project / "manifests" / "secrets").glob("*.env")} == keys


def test_what_passes_is_tried_again(machine):
    webhook = "Internal error occurred: failed calling webhook: connection refused"
    result = machine.run("up", answers=[["apply .*overlays/kind/kserve", 1, webhook, 2]])
    assert result.returncode == 0, result.stderr
    assert machine.applied.count("overlays/kind/kserve") == 3


def test_until_with_no_time_left_tells_the_last_real_error(machine):
    webhook = "Internal error occurred: failed calling webhook: no endpoints available"
    result = machine.run(
        "up",
        "--timeout=1",
        answers=[
            ["apply .*overlays/kind/kserve", 1, webhook, 2],
            ["apply .*overlays/kind/kserve", SLEEPS, "30", 0],
        ],
    )
    assert result.returncode == 1
    assert "KServe did not come up within 1 s" in result.stderr
    assert webhook in result.stderr
    assert "the last attempt: `kubectl --context kind-ranklift apply" in result.stderr


def test_run_when_its_time_is_over_ends_what_the_program_started(machine):
    result = machine.run("up", "--timeout=1", answers=[["apply .*upstream/cert-manager", SLEEPS, "30", 0]])
    assert result.returncode == 1
    assert "timed out after 1 s" in result.stderr
    started = int((machine.programs / "sleeping").read_text())
    state = Path(f"/proc/{started}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z", "a child of kubectl goes on"


@pytest.mark.parametrize(
    "said",
    [
        'Error from server (NotFound): namespaces "ranklift-store" not found',
        "Error from server (Forbidden): roles is forbidden: User cannot\nerror: no matches for kind Gateway\n1\n2",
    ],
    ids=["a namespace of ours", "a right beside what passes"],
)
def test_until_with_an_error_that_cannot_pass_stops_at_once(machine, said):
    result = machine.run("up", answers=[["apply .*overlays/kind$", 1, said, 0]])
    assert result.returncode == 1
    assert machine.applied.count("overlays/kind") == 1
    assert "object store, roles and policies cannot come up" in result.stderr


@pytest.mark.parametrize(("given", "passed"), [(900, range(800, 901)), (1800, range(1700, 1801))])
def test_the_time_for_a_step_reaches_the_fetch_of_a_remote_kustomization(machine, given, passed):
    machine.run("up", f"--timeout={given}")
    found = re.findall(r"timeout=(\d+)s", (machine.programs / "kustomizations").read_text())
    assert len(found) == 2, "Kubeflow's kinds, and Kubeflow Pipelines"
    assert all(int(seconds) in passed for seconds in found)
    assert not list(Path(tempfile.gettempdir()).glob("ranklift-*/manifests")), "the copy was left behind"


def test_what_does_not_pass_is_not_tried_again(machine):
    result = machine.run("up", answers=[["apply .*upstream/cert-manager", 1, "error: unknown field spec.replica", 0]])
    assert result.returncode == 1
    assert machine.applied == ORDER[:2]
    assert "unknown field spec.replica" in result.stderr


@pytest.mark.parametrize(
    ("pods", "events", "advice"),
    [
        ("kserve-1  0/1  ImagePullBackOff  0  5m", "", "way to the registry"),
        ("kserve-1  0/1  Pending  0  5m", "5m Warning FailedScheduling 0/1 nodes: Insufficient memory", "give Docker"),
        ("kserve-1  0/1  OOMKilled  3  5m", "", "14 GB"),
        ("kserve-1  0/1  CrashLoopBackOff  9  5m", "", "kubectl logs --previous"),
        ("kserve-1  0/1  ContainerCreating  0  5m", "", "-n kserve describe pods"),
    ],
    ids=["pull", "full", "memory", "crash", "unknown"],
)
def test_what_does_not_come_up_is_shown_with_what_to_do(machine, pods, events, advice):
    result = machine.run(
        "up",
        "--timeout=1",
        answers=[
            ["wait .*deployment --all -n kserve ", 1, "error: timed out waiting for the condition", 0],
            ["get pods -n kserve ", 0, f"healthy-1  1/1  Running  0  5m\n{pods}", 0],
            ["get events -n kserve ", 0, events, 0],
        ],
    )
    assert result.returncode == 1
    assert "KServe did not come up within 1 s" in result.stderr
    assert pods in result.stderr and "healthy-1" not in result.stderr
    assert advice in result.stderr and "make kind-up" in result.stderr
    assert result.stdout.splitlines()[-1].endswith("KServe … failed")
    assert "Traceback" not in result.stderr


def test_a_missing_program_is_named(machine):
    (machine.programs / "kubectl").unlink()
    result = machine.run("up")
    assert result.returncode == 1
    assert "kubectl is not installed" in result.stderr


def test_an_old_kind_is_refused(machine):
    result = machine.run("up", answers=[["^kind version", 0, "kind v0.27.0 go1.23", 0]])
    assert result.returncode == 1
    assert "kind 0.31 or newer is needed" in result.stderr


def test_a_stopped_engine_is_said(machine):
    result = machine.run("up", answers=[["^docker info", 1, "Cannot connect to the Docker daemon", 0]])
    assert result.returncode == 1
    assert "Cannot connect to the Docker daemon" in result.stderr
    assert not any("create" in call for call in machine.calls)


def test_keys_are_random_and_for_their_owners_eyes(machine):
    assert machine.run("secrets").returncode == 0
    folder = machine.project / "manifests" / "secrets"
    files = sorted(folder.glob("*.env"))
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    values = [line.split("=")[1] for path in files for line in path.read_text().splitlines()]
    assert len(set(values)) == len(values) == 8
    assert sorted(map(len, values)) == [8, 20, 20, 20, 40, 40, 40, 40]


BUILT = ["^docker image ls", 0, "ranklift-gate\nranklift-predictor\nranklift-train", 0]
RUNNING = ["^kind get clusters", 0, "ranklift", 0]


def test_load_gives_the_cluster_every_image_of_the_commit(machine, inference_service):
    result = machine.run("load", "--tag=3f2c1ab", answers=[BUILT, RUNNING])
    assert result.returncode == 0, result.stderr
    loaded = [call.split()[3] for call in machine.calls if call.startswith("kind load docker-image")]
    (container,) = inference_service["spec"]["predictor"]["containers"]
    assert loaded == [
        "ranklift-gate:3f2c1ab",
        "ranklift-predictor:3f2c1ab",
        "ranklift-train:3f2c1ab",
        container["image"],
    ]
    assert f"docker tag ranklift-predictor:3f2c1ab {container['image']}" in machine.calls


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [([RUNNING], "run `make docker-build` first"), ([BUILT], "run `make kind-up` first")],
    ids=["no-images", "no-cluster"],
)
def test_load_says_what_is_missing(machine, answers, sentence):
    result = machine.run("load", "--tag=3f2c1ab", answers=answers)
    assert result.returncode == 1
    assert sentence in result.stderr

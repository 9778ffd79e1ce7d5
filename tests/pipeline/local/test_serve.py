"""`ranklift serve`: gRPC beside HTTP, and one predictor of the champion at a time."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from components.deploy.machine.folder import record_predictor, running_predictor
from components.errors import RankliftError
from pipeline.local.champion import check_no_other_predictor
from pipeline.local.predictor import free_port, predictor_command
from tests.kserve.running import START_LIMIT, wait_for
from tests.pipeline.test_cli import environment as plain_environment
from tests.pipeline.test_cli import ranklift

URL = "http://127.0.0.1:8080"


def environment(folder: Path) -> dict[str, str]:
    return {**plain_environment(folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def test_a_second_serve_is_refused_and_leaves_the_record_of_the_first(tmp_path):
    home = tmp_path / ".ranklift"
    record_predictor(home, os.getpid(), URL)
    result = ranklift("serve", "--port", "8099", cwd=tmp_path, env=environment(tmp_path))
    assert result.returncode == 2
    assert f"A predictor serves the champion at {URL} already" in result.stderr
    assert running_predictor(home).url == URL


def test_check_no_other_predictor_forgets_one_that_has_ended(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record_predictor(tmp_path, ended.pid, URL)
    check_no_other_predictor(tmp_path)


def test_check_no_other_predictor_names_the_one_that_serves(tmp_path):
    check_no_other_predictor(tmp_path)
    record_predictor(tmp_path, os.getpid(), URL)
    with pytest.raises(RankliftError, match=URL):
        check_no_other_predictor(tmp_path)


@pytest.mark.parametrize(
    ("port", "expected"),
    [(None, ["--enable_grpc", "false"]), (7, ["--enable_grpc", "true", "--grpc_port", "7"])],
    ids=["HTTP alone", "gRPC as well"],
)
def test_predictor_command_says_whether_grpc_is_answered(tmp_path, port, expected):
    assert predictor_command(tmp_path, 8080, grpc_port=port)[-len(expected) :] == expected


def test_serve_with_grpc_answers_both(exported_tiny_model, tmp_path):
    port, grpc_port = free_port(), free_port()
    arguments = ["--model", str(exported_tiny_model), "--port", str(port), "--grpc", "--grpc-port", str(grpc_port)]
    code = "from pipeline.cli import main; main()"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", *arguments], cwd=tmp_path, env=environment(tmp_path), stderr=log
        )
    try:
        wait_for(lambda: '"ready"' in (tmp_path / "log").read_text() or process.poll() is not None, START_LIMIT)
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        process.terminate()
        process.wait(START_LIMIT)

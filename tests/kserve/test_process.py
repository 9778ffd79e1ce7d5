"""The process: what it imports, when it is ready, how it stops, and what it says when it cannot start."""

import json
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.kserve.conftest import TEXTS
from tests.kserve.running import command, running, wait_for

HEAVY = ["torch", "transformers", "sentence_transformers", "kfp", "kubernetes", "pyarrow"]


def test_the_predictor_imports_no_training_or_cluster_library():
    code = (
        "import sys; from predictor.lean_kserve import use_lean_kserve; use_lean_kserve(); import predictor.server;"
        "import openvino, tokenizers; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "openvino" in modules
    assert not set(HEAVY) & set(modules)


def test_kserve_still_works_whole_where_it_was_imported_before():
    code = (
        "import kserve, pandas; from predictor.lean_kserve import use_lean_kserve; use_lean_kserve();"
        "import predictor.server; print(kserve.KServeClient.__name__, pandas.DataFrame({'a': [1]}).shape)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "KServeClient (1, 1)"


def test_it_is_ready_only_after_the_warm_up(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path) as predictor:
        messages = [line["message"] for line in predictor.log_lines()]
        assert messages.index("ready") > [message.startswith("serving model") for message in messages].index(True)
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/ranklift/ready", "/v1/models/ranklift"):
            assert httpx.get(predictor.url + path).status_code == 200


def test_whoever_reads_ready_in_the_log_is_connected_at_once(exported_tiny_model):
    process = subprocess.Popen(command(exported_tiny_model), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        listening = next(json.loads(line)["listening"] for line in process.stdout if b'"ready"' in line)
        for address in listening.values():
            host, port = address.split(":")
            socket.create_connection((host, int(port)), 30).close()
    finally:
        process.kill()
        process.communicate()


def test_sigterm_answers_what_is_in_flight_and_ends_with_status_0(exported_tiny_model, tmp_path):
    body = {"query": "sort", "documents": [f"text number {n} " * 20 for n in range(900)]}
    with running(exported_tiny_model, tmp_path) as predictor:
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{predictor.url}/find_similar", json=body, timeout=60))
        )
        asking.start()
        wait_for(lambda: predictor.metric("ranklift_queue_texts") > 0)
        assert predictor.stop() == 0
        asking.join()
        assert answers[0].status_code == 200
        assert len(answers[0].json()["ranking"]) == 900


def test_while_it_drains_it_is_not_ready_and_still_answers(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path, "--drain_delay", "5") as predictor:
        predictor.process.terminate()
        wait_for(lambda: httpx.get(f"{predictor.url}/v2/health/ready").status_code == 503)
        assert httpx.get(f"{predictor.url}/v2/models/ranklift/ready").status_code == 503
        assert httpx.get(f"{predictor.url}/v2/health/live").status_code == 200
        for path, body in (
            ("/find_similar", {"query": "sort", "documents": TEXTS}),
            ("/v1/models/ranklift:predict", {"instances": [{"query": "sort", "documents": TEXTS}]}),
        ):
            assert httpx.post(predictor.url + path, json=body).status_code == 200
        assert predictor.process.wait(30) == 0


def test_it_listens_where_it_is_told_to(predictor):
    assert predictor.url.startswith("http://127.0.0.1:")
    port = int(predictor.url.rsplit(":", 1)[1])
    listening = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.2', {port}), 5)"],
        capture_output=True,
        check=False,
    )
    assert listening.returncode != 0  # 127.0.0.2 is this machine too, and would answer on 0.0.0.0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--max_documents", "none"], "The setting max_documents is not valid"),
        (["--model_dir", "/nowhere"], "is not an exported model"),
    ],
    ids=["a bad setting", "no model"],
)
def test_it_says_in_one_sentence_why_it_cannot_start(exported_tiny_model, flags, sentence):
    ended = subprocess.run(command(exported_tiny_model, *flags), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("protocol", "flag"), [("url", "--http_port"), ("grpc", "--grpc_port")], ids=["HTTP", "gRPC"])
def test_a_taken_port_is_named(exported_tiny_model, predictor, protocol, flag):
    port = getattr(predictor, protocol).rsplit(":", 1)[1]
    ended = subprocess.run(command(exported_tiny_model, flag, port), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_settings_come_from_the_environment_too(exported_tiny_model, tmp_path):
    body = {"query": "sort", "documents": TEXTS}
    with running(exported_tiny_model, tmp_path, RANKLIFT_PREDICTOR_MAX_DOCUMENTS="2") as predictor:
        answer = httpx.post(f"{predictor.url}/find_similar", json=body)
    assert answer.status_code == 422
    assert "--max_documents" in answer.json()["error"]


def test_a_token_when_set_is_asked_of_every_request_but_the_probes(exported_tiny_model, tmp_path):
    body = {"query": "sort", "documents": TEXTS}
    with running(exported_tiny_model, tmp_path, RANKLIFT_PREDICTOR_API_TOKEN="secret") as predictor:  # a test's own
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Bearer secret"}, 200),
        ):
            assert httpx.post(f"{predictor.url}/find_similar", json=body, headers=headers).status_code == status
        assert httpx.post(f"{predictor.url}/v2/repository/models/ranklift/load").status_code == 401
        assert httpx.get(f"{predictor.url}/v2/health/ready").status_code == 200


def test_no_text_of_a_request_is_in_the_log(predictor, client):
    marker = "tangerine-zeppelin"
    client.post("/find_similar", json={"query": marker, "documents": [marker]})
    client.post("/find_similar", json={"query": [marker], "documents": [marker]})
    client.get(f"/{marker}?{marker}=1")
    assert marker not in predictor.log.read_text()

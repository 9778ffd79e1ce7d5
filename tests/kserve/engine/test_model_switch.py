"""A switch of the model: no request fails, the old one stays when the new one is not whole."""

import json
import shutil
import threading
from pathlib import Path

import httpx
import pytest

from components.export.model import export_model
from components.model.served import EncoderConfig
from tests.factories.models import make_tiny_model
from tests.kserve.conftest import TEXTS
from tests.kserve.running import running

LOAD = "/v2/repository/models/ranklift/load"
BODY = {"query": "how to order a list", "documents": TEXTS}


@pytest.fixture(scope="module")
def other_model(tmp_path_factory) -> Path:
    """A model of other weights."""
    source = make_tiny_model(tmp_path_factory.mktemp("other"), seed=11)
    directory = tmp_path_factory.mktemp("other-exported") / "model"
    export_model(source, directory, texts=TEXTS, max_seq_length=32)
    return directory


@pytest.fixture
def versions(exported_tiny_model, other_model, tmp_path) -> Path:
    """A folder of model versions, V1 and V2, and the link `current` to V1."""
    shutil.copytree(exported_tiny_model, tmp_path / "V1")
    shutil.copytree(other_model, tmp_path / "V2")
    (tmp_path / "current").symlink_to("V1")
    return tmp_path


def point(folder: Path, version: str) -> None:
    """Move the link in one step, as a deploy does."""
    (folder / "next").symlink_to(version)
    (folder / "next").rename(folder / "current")


def version_and_score(url: str) -> tuple[str, float]:
    answer = httpx.post(f"{url}/find_similar", json=BODY, timeout=30).raise_for_status().json()
    return answer["model_version"], answer["score"]


def test_a_load_follows_the_link(versions):
    with running(versions / "current", versions) as predictor:
        before = version_and_score(predictor.url)
        same = httpx.post(predictor.url + LOAD).json()
        assert (same["switched"], same["model_version"]) == (False, "V1")
        point(versions, "V2")
        assert version_and_score(predictor.url) == before
        loaded = httpx.post(predictor.url + LOAD, timeout=30).json()
        assert (loaded["load"], loaded["switched"], loaded["model_version"]) == (True, True, "V2")
        assert loaded["model_digest"] == EncoderConfig.of(versions / "V2").digest
        version, score = version_and_score(predictor.url)
        assert version == "V2"
        assert score != pytest.approx(before[1], abs=1e-4)
        point(versions, "V1")
        httpx.post(predictor.url + LOAD, timeout=30).raise_for_status()
        assert version_and_score(predictor.url) == (before[0], pytest.approx(before[1], abs=1e-6))


def test_no_request_fails_while_models_are_switched_under_load(versions):
    with running(versions / "current", versions) as predictor:
        stop = threading.Event()
        outcomes: list[tuple[int, str]] = []

        def ask(number: int) -> None:
            with httpx.Client(base_url=predictor.url, timeout=30) as client:
                count = 0
                while not stop.is_set():
                    count += 1
                    body = {"query": f"sort {number} {count}", "documents": [*TEXTS, f"edge {number} {count}"]}
                    answer = client.post("/find_similar", json=body)
                    outcomes.append((answer.status_code, answer.json().get("model_version", "")))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for version in ("V2", "V1", "V2"):
            point(versions, version)
            assert httpx.post(predictor.url + LOAD, timeout=60).json()["model_version"] == version
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in outcomes} == {200}
    assert {version for _, version in outcomes} == {"V1", "V2"}


def truncate_weights(directory: Path) -> None:
    weights = directory / "encoder.bin"
    weights.write_bytes(weights.read_bytes()[:-1000])


def flip_a_byte(directory: Path) -> None:
    weights = bytearray((directory / "encoder.bin").read_bytes())
    weights[len(weights) // 2] ^= 0xFF
    (directory / "encoder.bin").write_bytes(weights)


def lose_the_tokenizer(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def half_a_config(directory: Path) -> None:
    path = directory / "encoder.json"
    path.write_text(path.read_text()[:100])


def rewrite_with_checksums(directory: Path, name: str, content: bytes) -> None:
    """Damage that the checksums agree with: what an attacker or a bad exporter would leave."""
    from components.machine.digest import file_sha256

    (directory / name).write_bytes(content)
    config = json.loads((directory / "encoder.json").read_text())
    config["files"][name] = file_sha256(directory / name)
    (directory / "encoder.json").write_text(json.dumps(config))


def not_a_graph(directory: Path) -> None:
    rewrite_with_checksums(directory, "encoder.xml", b"<html></html>")


def not_a_tokenizer(directory: Path) -> None:
    rewrite_with_checksums(directory, "tokenizer.json", b"{}")


def remove_it(directory: Path) -> None:
    shutil.rmtree(directory)


DAMAGE = {
    "weights cut short": (truncate_weights, "is damaged"),
    "a byte flipped": (flip_a_byte, "is damaged"),
    "no tokenizer": (lose_the_tokenizer, "tokenizer.json is missing"),
    "half an encoder.json": (half_a_config, "is not a encoder.json"),
    "not a graph": (not_a_graph, "is not a graph that OpenVINO runs"),
    "not a tokenizer": (not_a_tokenizer, "is not a tokenizer"),
    "nothing there": (remove_it, "is not an exported model"),
}


@pytest.fixture(scope="module")
def served(exported_tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(exported_tiny_model, folder / "V1")
    (folder / "current").symlink_to("V1")
    with running(folder / "current", folder) as predictor:
        yield folder, predictor


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_model_is_refused_with_the_reason_and_the_old_one_stays(served, other_model, damage, reason):
    folder, predictor = served
    shutil.rmtree(folder / "V2", ignore_errors=True)
    shutil.copytree(other_model, folder / "V2")
    damage(folder / "V2")
    before = version_and_score(predictor.url)
    point(folder, "V2")
    refused = httpx.post(predictor.url + LOAD, timeout=30)
    point(folder, "V1")
    assert refused.status_code == 409
    assert reason in refused.json()["error"]
    assert "\n" not in refused.json()["error"]
    assert version_and_score(predictor.url) == before
    assert httpx.get(f"{predictor.url}/v2/health/ready").status_code == 200


def test_the_model_cannot_be_unloaded_by_a_request(client):
    assert client.post("/v2/repository/models/ranklift/unload").status_code == 404
    assert client.post("/find_similar", json=BODY).status_code == 200


def test_grpc_loads_as_rest_does(predictor):
    import grpc
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(predictor.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        loaded = stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="ranklift"))
        assert (loaded.model_name, loaded.isLoaded) == ("ranklift", True)
        with pytest.raises(grpc.RpcError) as caught:
            stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="ranklift"))
        assert caught.value.code().name == "FAILED_PRECONDITION"

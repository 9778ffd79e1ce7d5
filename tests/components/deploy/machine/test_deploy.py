"""deploy on one machine: the new version serves, or what served before does, and no request ever fails."""

import os
import threading
from contextlib import contextmanager

import httpx
import pytest

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import (
    RunningPredictor,
    current_link,
    current_version,
    point_current_at,
    record_predictor,
    running_predictor,
)
from components.errors import RankliftError, StoreError
from components.object_store.client import ObjectStore
from components.registry.champion import CHAMPION
from components.registry.registry import Registry
from tests.kserve.running import running

BODY = {"query": "how to order a list", "documents": ["sort the array", "find a path in the graph"]}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@contextmanager
def serving(home):
    """A predictor on the link, recorded as `ranklift serve` does."""
    with running(current_link(home), home / "log") as predictor:
        record_predictor(home, predictor.process.pid, predictor.url)
        yield predictor


@contextmanager
def constant_load(url, clients=4):
    """Clients that ask without a pause; the list of what they were answered."""
    stop, answers = threading.Event(), []

    def ask():
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/find_similar", json=BODY)
                    answers.append((answer.status_code, answer.json().get("model_version")))
                except httpx.HTTPError as error:
                    answers.append((0, repr(error)))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class TestWithNoPredictor:
    def test_the_link_points_at_the_version_once_it_answered(self, versions, home):
        assert deploy_local("V0", versions, home) == "V0"
        assert current_link(home).readlink().as_posix() == "V0"
        assert deploy_local("V1", versions, home) == "V1"
        assert current_version(home) == "V1"

    def test_a_version_that_cannot_be_opened_leaves_the_old_one_in_service(self, versions, home):
        deploy_local("V0", versions, home)
        with pytest.raises(RankliftError, match=r"V2 was not deployed: .* V0 stays in service"):
            deploy_local("V2", versions, home)
        assert current_version(home) == "V0"

    def test_the_first_version_that_cannot_be_opened_leaves_nothing_in_service(self, versions, home):
        with pytest.raises(RankliftError, match="Nothing was in service before"):
            deploy_local("V2", versions, home)
        assert current_version(home) is None

    def test_a_damaged_version_is_never_pointed_at(self, versions, home):
        deploy_local("V0", versions, home)
        versions.store.put("models/V1/encoder.bin", b"swapped")
        with pytest.raises(StoreError, match=r"models/V1/encoder\.bin"):
            deploy_local("V1", versions, home)
        assert current_version(home) == "V0"
        assert not (home / "serving" / "V1").exists()

    def test_a_champion_whose_manifest_was_swapped_is_refused(self, versions, home):
        versions.move_champion("V1", None)
        assert versions.store.find(CHAMPION) is not None
        manifest = versions.store.get("models/V1/version.json").content
        versions.store.put("models/V1/version.json", manifest.replace(b'"source": null', b'"source": "x"'))
        with pytest.raises(StoreError, match="manifest of model V1 was changed after it became champion"):
            deploy_local("V1", versions, home)

    def test_a_file_that_was_swapped_on_disk_is_refused(self, versions, home):
        deploy_local("V0", versions, home)
        (home / "serving" / "V0" / "encoder.bin").write_bytes(b"swapped")
        with pytest.raises(StoreError, match=r"V0/encoder\.bin is damaged"):
            deploy_local("V0", versions, home)

    def test_a_deploy_that_was_killed_halfway_is_undone_by_the_next_that_fails(self, versions, home):
        deploy_local("V0", versions, home)
        versions.download("model", "V2", home / "serving" / "V2")
        point_current_at(home, "V2")
        with pytest.raises(RankliftError, match="V0 stays in service"):
            deploy_local("V2", versions, home)
        assert current_version(home) == "V0"


class TestWithAPredictor:
    def test_it_switches_there_and_back_with_no_failed_request(self, versions, home):
        deploy_local("V0", versions, home)
        with serving(home) as predictor, constant_load(predictor.url) as answers:
            for version in ("V1", "V0", "V1"):
                deploy_local(version, versions, home)
        assert {status for status, _ in answers} == {200}
        assert {version for _, version in answers} == {"V0", "V1"}
        assert len(answers) > 20

    def test_a_version_that_it_cannot_open_leaves_it_serving_the_old_one(self, versions, home):
        deploy_local("V1", versions, home)
        with serving(home) as predictor, constant_load(predictor.url) as answers:
            with pytest.raises(RankliftError, match=r"V2 was not deployed: .*409.* V1 serves again"):
                deploy_local("V2", versions, home)
            answer = httpx.post(f"{predictor.url}/find_similar", json=BODY).json()
        assert answer["model_version"] == "V1"
        assert {*answers} == {(200, "V1")}

    def test_one_that_serves_another_folder_is_noticed(self, versions, home, exported_tiny_model):
        deploy_local("V0", versions, home)
        with running(exported_tiny_model, home / "log") as predictor:
            record_predictor(home, predictor.process.pid, predictor.url)
            with pytest.raises(RankliftError, match="after it was told to load V1"):
                deploy_local("V1", versions, home)
        assert current_version(home) == "V0"

    def test_one_that_has_ended_is_not_asked(self, versions, home):
        deploy_local("V0", versions, home)
        with serving(home):
            pass
        assert running_predictor(home) is None
        assert deploy_local("V1", versions, home) == "V1"


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254:80", "https://127.0.0.1:1", "http://127.0.0.1:80/x", "file:///etc/passwd"],
    ids=["metadata service", "tls", "path", "file"],
)
def test_a_record_that_points_elsewhere_is_not_followed(home, url):
    record_predictor(home, os.getpid(), "http://127.0.0.1:1")
    path = home / "serving" / "predictor.json"
    path.write_text(path.read_text().replace("http://127.0.0.1:1", url))
    assert running_predictor(home) is None


def test_a_process_id_that_was_used_again_is_not_taken_for_the_predictor(home):
    record = RunningPredictor(pid=os.getpid(), started="1", url="http://127.0.0.1:1")
    record.write(home / "serving" / "predictor.json")
    assert running_predictor(home) is None


def test_an_object_store_that_is_down_leaves_the_predictor_serving_what_it_has(versions, home):
    deploy_local("V0", versions, home)
    down = Registry(ObjectStore(versions.store.settings.model_copy(update={"endpoint": "http://127.0.0.1:1"})))
    refused = pytest.raises(StoreError, match="accepts no connection")
    with serving(home) as predictor, constant_load(predictor.url) as answers, refused:
        deploy_local("V1", down, home)
    assert {*answers} == {(200, "V0")}
    assert current_version(home) == "V0"

"""A deploy that is asked to stop in the middle of a rollout: what served before serves again, and KFP tries again."""

import os
import signal
import subprocess
import sys

import pytest

from components.deploy.cluster.inference_service import canary_of, revision_of
from tests.components.deploy.conftest import service_of
from tests.kserve.running import wait_for

STAGE = "from components.deploy.component import deploy; deploy.python_func('V1')"


def asked_for(cluster):
    return (canary_of(service_of(cluster)) or revision_of(service_of(cluster))).version


@pytest.fixture
def stage(history, cluster, kserve, tmp_path):
    """The stage as a process that waits for V1, which never answers."""
    kserve.faults["V1"] = "slow"
    processes = []

    def start(**settings):
        environment = {
            **os.environ, **history.store.settings.environment(), "RANKLIFT_SERVING": "cluster",
            "RANKLIFT_KUBERNETES_NAMESPACE": "ranklift", "RANKLIFT_HOME": str(tmp_path / "home"), **settings,
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-c", STAGE], env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        wait_for(lambda: asked_for(cluster) == "V1" or process.poll() is not None, seconds=60)
        assert process.poll() is None, process.stderr.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("settings", [{}, {"RANKLIFT_CANARY_PERCENT": "10"}], ids=["all of the traffic", "a canary"])
def test_sigterm_puts_back_what_served(stage, cluster, settings):
    before = service_of(cluster)["spec"]
    process = stage(**settings)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    sentence = "ranklift: error: V1 was not deployed: SIGTERM stopped it; run the deploy again. V0 serves again."
    assert told.splitlines()[-1] == sentence
    service = service_of(cluster)
    assert (revision_of(service).version, canary_of(service)) == ("V0", None)
    if settings:
        assert service["spec"] == before, "the stable predictor was never touched"

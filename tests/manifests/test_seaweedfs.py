"""The scripts of store/seaweedfs, run as the pods run them, with the real server: who may do what."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import NamedTuple

import pytest
from minio import Minio
from minio.error import S3Error

from components.object_store.embedded import weed_binary
from tests.manifests.rendering import MANIFESTS
from tests.manifests.store_calls import ALLOWED, REFUSED, Keys, made_by_the_tests

SCRIPTS = MANIFESTS / "store" / "seaweedfs"
KEYS = {
    "MINIO_ROOT_USER": "ranklift", "MINIO_ROOT_PASSWORD": "root-secret",
    "KUBEFLOW_KEY": "kubeflow-key", "KUBEFLOW_SECRET": "kubeflow-secret",
    "PIPELINE_KEY": "pipeline-key", "PIPELINE_SECRET": "pipeline-secret",
    "PREDICTOR_KEY": "predictor-key", "PREDICTOR_SECRET": "predictor-secret",
}  # fmt: skip


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Served(NamedTuple):
    """Where a store answers that the scripts set up."""

    s3: str
    master: str


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seaweedfs")
    for name in ("bin", "home", "data"):
        (folder / name).mkdir()
    (folder / "bin" / "weed").symlink_to(weed_binary())
    s3, s3_grpc, master, master_grpc, filer, filer_grpc, volume, volume_grpc = free_ports(8)
    environment = {
        **KEYS,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "DATA": str(folder / "data"),
        "ADDRESS": "127.0.0.1",
        "S3_PORT": str(s3),
        "BIND": "127.0.0.1",
        "EXTRA_FLAGS": f"-s3.port.grpc={s3_grpc} -master.port={master} -master.port.grpc={master_grpc} "
        f"-filer.port={filer} -filer.port.grpc={filer_grpc} -volume.port={volume} -volume.port.grpc={volume_grpc}",
    }
    # Not for the server: weed takes a variable of a flag's name for the flag.
    job = {**environment, "MASTER": f"127.0.0.1:{master}.{master_grpc}", "FILER": f"127.0.0.1:{filer}.{filer_grpc}"}
    shell = shutil.which("sh")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [shell, "-eu", str(SCRIPTS / "server.sh")], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        wait_until_it_answers(s3, server, folder / "log")
        for _ in range(2):  # what it does may be repeated
            subprocess.run([shell, "-eu", str(SCRIPTS / "buckets.sh")], env=job, cwd=folder, check=True, timeout=90)
        yield Served(f"127.0.0.1:{s3}", f"127.0.0.1:{master}")
    finally:
        server.kill()  # nothing is to be kept, and an orderly end takes it 25 s
        server.wait(timeout=30)


def wait_until_it_answers(port, server, log):
    give_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5):  # what the probes ask
                return
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None and time.monotonic() < give_up, log.read_text()[-2000:]
            time.sleep(0.2)


@pytest.fixture(scope="module")
def address(served):
    return served.s3


@pytest.fixture(scope="module")
def keys_of(address):
    def of(user):
        prefix = user.upper()
        return Keys(address, KEYS[f"{prefix}_KEY"], KEYS[f"{prefix}_SECRET"])

    made_by_the_tests(of("pipeline").store())
    return of


@pytest.mark.parametrize("call", ALLOWED, ids=lambda call: call.name)
def test_a_client_may_do_what_it_does(keys_of, call):
    call.run(keys_of(call.user))


@pytest.mark.parametrize("call", REFUSED, ids=lambda call: call.name)
def test_a_client_may_not_do_more(keys_of, call):
    with pytest.raises(S3Error, match="AccessDenied"):
        call.run(keys_of(call.user))


def test_a_stranger_reads_nothing(keys_of, address):
    with pytest.raises(S3Error, match="AccessDenied"):
        Minio(address, secure=False, region="us-east-1").get_object("ranklift", "models/V0/model")


def test_every_bucket_finds_volumes_on_a_disk_of_any_size(served):
    with urllib.request.urlopen(f"http://{served.master}/dir/status", timeout=5) as answer:
        topology = json.load(answer)["Topology"]
    assert topology["Max"] == 10_000  # not the disk's size in GiB, of which the first bucket takes seven

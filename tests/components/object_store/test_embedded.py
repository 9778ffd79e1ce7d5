"""The embedded store: there when it is needed, shared by all who need it, gone with the last of them."""

import http.client
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import StoreError
from components.object_store.client import ObjectStore
from components.object_store.embedded import EmbeddedStoreState, embedded_store, weed_binary
from tests.kserve.running import wait_for

# A shell that runs the tests in the background has them ignore SIGINT, and their children with them.
USER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from components.object_store.embedded import embedded_store
from components.object_store.client import ObjectStore
with embedded_store(Path(sys.argv[1])) as settings:
    store = ObjectStore(settings)
    store.put(sys.argv[2], b"x")
    print("up", flush=True)
    sys.stdin.read()
"""


def processes_of(folder):
    """Ids of the live processes that name this folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if os.fsencode(str(folder)) in command and b"mini" in command and state != "Z":
            found.append(int(process.name))
    return found


def start_user(folder, key):
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    return process


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "store"
    yield folder
    wait_for(lambda: not processes_of(folder), 15)


def test_it_keeps_its_data_and_leaves_no_process(folder):
    with embedded_store(folder) as settings:
        ObjectStore(settings).put("kept", b"1")
        assert processes_of(folder)
    assert not processes_of(folder)
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).get("kept").content == b"1"


def test_it_listens_on_loopback_alone_and_knows_only_its_own_keys(folder):
    with embedded_store(folder) as settings:
        state = EmbeddedStoreState.read(folder / "store.json")
        listening = {
            line.split()[1]
            for file in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(file).read_text().splitlines()[1:]
            if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) in state.ports.values()
        }
        assert len(listening) >= 8
        assert {address.split(":")[0] for address in listening} == {"0100007F"}
        stranger = ObjectStore(settings.model_copy(update={"secret_key": state_secret("guessed")}))
        with pytest.raises(StoreError, match="check AWS_ACCESS_KEY_ID"):
            stranger.list()
        with socket.create_connection(("127.0.0.1", state.ports["filer.port"])) as filer:
            filer.sendall(b"GET /buckets/ranklift/ready HTTP/1.0\r\n\r\n")
            assert b"404" in filer.recv(100).split(b"\r\n")[0]


DELETES = ("/col/delete?collection=ranklift", "/vol/vacuum", "/dir/assign", "/buckets/ranklift?recursive=true")


def test_embedded_store_gives_a_stranger_nothing_on_any_port_and_loses_nothing(folder):
    with embedded_store(folder) as settings:
        store = ObjectStore(settings)
        store.put("models/kept", b"1")
        ports = EmbeddedStoreState.read(folder / "store.json").ports
        for name in ("master.port", "filer.port", "volume.port"):
            for method, path in itertools.product(("GET", "POST", "DELETE"), DELETES):
                connection = http.client.HTTPConnection("127.0.0.1", ports[name], timeout=10)
                connection.request(method, path)
                status = connection.getresponse().status
                assert status >= 400, (name, method, path, status)
        assert store.get("models/kept").content == b"1"


@pytest.mark.parametrize("has_ca", [False, True], ids=["plain", "TLS without a certificate"])
def test_embedded_store_parts_answer_no_stranger_over_grpc(folder, has_ca):
    import grpc

    with embedded_store(folder) as settings:
        store = ObjectStore(settings)
        store.put("models/kept", b"1")
        ports = EmbeddedStoreState.read(folder / "store.json").ports
        credentials = grpc.ssl_channel_credentials((folder / "parts.crt").read_bytes())
        for name in ("master.port.grpc", "filer.port.grpc", "volume.port.grpc"):
            target = f"127.0.0.1:{ports[name]}"
            with grpc.secure_channel(target, credentials) if has_ca else grpc.insecure_channel(target) as channel:
                delete = channel.unary_unary("/master_pb.Seaweed/CollectionDelete")
                with pytest.raises(grpc.RpcError) as caught:
                    delete(b"\x0a\x08ranklift", timeout=10)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert store.get("models/kept").content == b"1"


def state_secret(text):
    from pydantic import SecretStr

    return SecretStr(text)


def test_nobody_else_may_read_its_keys(folder):
    with embedded_store(folder):
        for name in ("store.json", "s3.json", "security.toml", "parts.crt", "parts.key"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        keys = EmbeddedStoreState.read(folder / "store.json")
        for process in processes_of(folder):
            command = Path(f"/proc/{process}/cmdline").read_bytes()
            assert keys.secret_key.encode() not in command


def test_processes_share_it_and_the_last_one_ends_it(folder):
    with embedded_store(folder) as settings:
        other = start_user(folder, "other")
        assert ObjectStore(settings).get("other").content == b"x"
        assert len([pid for pid in processes_of(folder) if b"supervisor" not in cmdline(pid)]) == 1
    assert processes_of(folder), "the other still uses it"
    other.stdin.close()
    assert other.wait(20) == 0
    assert not processes_of(folder)


def cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_several_that_come_at_once_get_one_store(folder):
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(folder), f"user-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    assert [user.stdout.readline() for user in users] == ["up\n"] * 4
    assert len([pid for pid in processes_of(folder) if b"supervisor" not in cmdline(pid)]) == 1
    with embedded_store(folder) as settings:
        assert len(ObjectStore(settings).list("user-")) == 4
    for user in users:
        user.stdin.close()
        assert user.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "term", "int"])
def test_a_user_that_is_killed_takes_it_along_and_loses_nothing(folder, number):
    user = start_user(folder, "written")
    user.send_signal(number)
    user.wait(20)
    wait_for(lambda: not processes_of(folder), 15)
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).get("written").content == b"x"


def test_a_supervisor_that_is_killed_takes_it_along_and_the_next_user_starts_it_again(folder):
    user = start_user(folder, "written")
    supervisor = next(pid for pid in processes_of(folder) if b"supervisor" in cmdline(pid))
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not processes_of(folder), 15)
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).get("written").content == b"x"
    user.kill()
    user.wait(20)


def test_a_store_that_is_killed_is_started_again_with_its_data(folder):
    user = start_user(folder, "written")
    for pid in processes_of(folder):
        if b"supervisor" not in cmdline(pid):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not processes_of(folder), 15)
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).get("written").content == b"x"
    user.kill()
    user.wait(20)


def test_ports_that_were_taken_meanwhile_are_replaced(folder):
    with embedded_store(folder) as settings:
        ObjectStore(settings).put("kept", b"1")
        before = EmbeddedStoreState.read(folder / "store.json").ports
    with socket.create_server(("127.0.0.1", before["s3.port"])), embedded_store(folder) as settings:
        assert EmbeddedStoreState.read(folder / "store.json").ports != before
        assert ObjectStore(settings).get("kept").content == b"1"


def test_a_record_that_is_damaged_is_written_anew(folder):
    with embedded_store(folder) as settings:
        ObjectStore(settings).put("kept", b"1")
    (folder / "store.json").write_text("{")
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).get("kept").content == b"1"


def test_a_path_longer_than_a_socket_may_have_works(tmp_path):
    folder = tmp_path / ("long-" * 20) / "store"
    with embedded_store(folder) as settings:
        assert ObjectStore(settings).list() != []
    assert not processes_of(folder)


def test_without_its_package_it_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("components.object_store.embedded.metadata.distribution", _missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="set RANKLIFT_S3_ENDPOINT, or install it"):
        weed_binary()


def _missing(name):
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)

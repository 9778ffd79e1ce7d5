"""Frames of a websocket as a port forward reads and writes them, and what a cluster refuses."""

import io
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.kubernetes.api import KubernetesApi
from components.kubernetes.errors import KubernetesError
from components.kubernetes.forward import PodForward, _frame, _Frames
from tests.standins.kubernetes_api import serving
from tests.standins.kubernetes_state import Cluster, RefusalError
from tests.standins.port_forward import _read

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 200_000)


def from_server(payload: bytes) -> bytes:
    """A whole binary frame, unmasked."""
    length = len(payload)
    if length < 126:
        return b"\x82" + bytes([length]) + payload
    size = b"\x7e" + struct.pack(">H", length) if length < 1 << 16 else b"\x7f" + struct.pack(">Q", length)
    return b"\x82" + size + payload


@settings(deadline=None)
@given(st.lists(st.sampled_from(SIZES), max_size=4), st.integers(997, 70_000))
@example([0, 1, 125, 126, 127], 1)
def test_frames_cut_anywhere_come_back_whole(sizes, step):
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = b"".join(map(from_server, payloads))
    frames = _Frames()
    found = [frame for at in range(0, len(stream), step) for frame in frames.of(stream[at : at + step])]
    assert found == [(2, payload) for payload in payloads]


@pytest.mark.parametrize("size", SIZES)
def test_frame_of_any_size_is_masked_and_read_by_a_server(size):
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    sent = _frame(2, payload)
    assert size < 16 or payload not in sent
    assert _read(io.BytesIO(sent)) == (2, payload)


class TestConnect:
    @pytest.fixture
    def cluster(self, tmp_path, monkeypatch):
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        cluster = Cluster()
        with serving(cluster, tmp_path) as environment:
            monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
            yield cluster

    def test_without_the_right_it_names_the_rule(self, cluster):
        cluster.denied.add(("get", "pods/portforward"))
        with PodForward(KubernetesApi.connect()) as forward, pytest.raises(KubernetesError) as failure:
            forward.connect("store", "pod-0", 9000)
        assert failure.value.status == 403
        assert "resources: [pods/portforward], verbs: [get, create]" in str(failure.value)

    def test_to_a_pod_that_is_gone_it_tells_what_the_cluster_said(self, cluster):
        def refuse(request):
            raise RefusalError(404, 'pods "pod-0" not found')

        cluster.before_answer = refuse
        with PodForward(KubernetesApi.connect()) as forward, pytest.raises(KubernetesError, match='pod-0" not found'):
            forward.connect("store", "pod-0", 9000)

    def test_to_an_api_that_is_away_it_says_where_it_looked(self, cluster, monkeypatch):
        api = KubernetesApi.connect()
        api.host = "http://127.0.0.1:1"
        with PodForward(api) as forward, pytest.raises(KubernetesError, match=r"at http://127.0.0.1:1 opened no conn"):
            forward.connect("store", "pod-0", 9000)

"""The smoke search: a predictor with an index answers it, and no other answer counts."""

from functools import partial

import httpx
import pytest

from components.deploy.smoke import NotAnsweredError, index_that_answers, post
from components.model.encoder import Encoder
from tests.factories.index_versions import index_of
from tests.kserve.running import running
from tests.standins.json_server import JsonHandler, JsonServer


def test_index_that_answers_from_a_real_predictor_is_its_index(exported_tiny_model, tmp_path):
    index_of(tmp_path / "index", Encoder.open(exported_tiny_model), {"a": "sort the array"})
    with running(exported_tiny_model, tmp_path, "--index_dir", str(tmp_path / "index")) as started:
        ask = partial(post, started.url, timeout=30, proxies=False)
        assert index_that_answers(ask, started.url) == httpx.get(f"{started.url}/index").json()["index_version"]


def test_index_that_answers_without_an_index_says_what_the_predictor_said(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path) as started:
        ask = partial(post, started.url, timeout=30, proxies=False)
        with pytest.raises(NotAnsweredError, match=r"answered 404: .*is in service without an index"):
            index_that_answers(ask, started.url)


@pytest.fixture
def gateway():
    """An ingress gateway: it answers for one host name, and says nothing to others."""

    class Answers(JsonHandler):
        def answer(self, body):
            if self.headers["Host"].partition(":")[0] == "ranklift-ranklift.localhost":
                self.send(200, {"index_version": "V0", "hits": [{"score": 0.5}]})
            else:
                self.send(404, "")

    server = JsonServer(Answers)
    with server.running():
        yield server.server_port


def test_post_to_a_name_below_localhost_asks_loopback_for_that_host(gateway):
    url = f"http://ranklift-ranklift.localhost:{gateway}"
    assert index_that_answers(partial(post, url, timeout=10, proxies=False), url) == "V0"


def test_post_that_a_gateway_answers_for_an_unknown_host_names_what_to_do(gateway):
    url = f"http://127.0.0.1:{gateway}"
    with pytest.raises(NotAnsweredError, match=r"404: nothing more, .* the predictor's own host name"):
        post(url, "/search", {}, timeout=10, proxies=False)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty"),
        pytest.param({"hits": []}, id="no-hits"),
        pytest.param({"hits": "none"}, id="no-list"),
        pytest.param({"hits": [{"id": "a"}]}, id="no-score"),
        pytest.param({"hits": [{"id": "a", "score": float("nan")}]}, id="no-number"),
    ],
)
def test_index_that_answers_with_nothing_usable_is_refused(answer):
    with pytest.raises(NotAnsweredError, match="gave no usable answer to a smoke search"):
        index_that_answers(lambda path, document: answer, "there")

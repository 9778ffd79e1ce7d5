"""The smoke search: a predictor with an index answers it, and no other answer counts."""

from functools import partial

import httpx
import pytest

from components.deploy.smoke import NotAnsweredError, index_that_answers, post
from components.model.encoder import Encoder
from tests.factories.index_versions import index_of
from tests.kserve.running import running


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

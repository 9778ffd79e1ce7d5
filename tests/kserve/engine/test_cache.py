"""The cache of document embeddings: bounded, exact, counted, and in-flight texts are encoded once."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.engine.cache import Embedded, EmbeddingCache
from tests.kserve.conftest import TEXTS
from tests.kserve.running import running

DIGEST = "ab" * 32
VECTOR = np.zeros(8, dtype=np.float32)


def keep(cache: EmbeddingCache, text: str) -> None:
    cache.put(cache.key(text), Embedded(VECTOR, 3))


@given(st.lists(st.text(max_size=3), max_size=60), st.integers(0, 3000))
def test_it_never_holds_more_than_its_capacity(texts, capacity):
    cache = EmbeddingCache(DIGEST, capacity)
    for text in texts:
        keep(cache, text)
        assert 0 <= cache.bytes <= capacity
    assert len(cache) <= len(set(texts))


def test_the_least_recently_used_leaves_first():
    cache = EmbeddingCache(DIGEST, 700)  # room for two
    keep(cache, "one")
    keep(cache, "two")
    assert cache.get(cache.key("one"))
    keep(cache, "three")
    assert cache.get(cache.key("two")) is None
    assert cache.get(cache.key("one"))
    assert cache.get(cache.key("three"))


@pytest.mark.parametrize("in_hardware", [True, False], ids=["SHA-256 in hardware", "SHA-256 in software"])
def test_a_key_belongs_to_one_text_and_one_model(monkeypatch, in_hardware):
    monkeypatch.setattr("predictor.engine.cache.has_sha256", lambda: in_hardware)
    cache, other = EmbeddingCache(DIGEST, 1000), EmbeddingCache("cd" * 32, 1000)
    texts = ["a", "A", "a ", "", "\ud800", "é", "e\u0301"]
    keys = {cache.key(text) for text in texts} | {other.key(text) for text in texts}
    assert len(keys) == 2 * len(texts)


def counts(predictor) -> dict[str, float]:
    return {name: predictor.metric(f"ranklift_cache_{name}_total") for name in ("hits", "joined", "misses")}


@pytest.fixture(scope="module")
def quiet(exported_tiny_model, tmp_path_factory):
    """A predictor that no other test asks."""
    with running(exported_tiny_model, tmp_path_factory.mktemp("cache")) as predictor:
        yield predictor


def ask(predictor, documents, query="sort") -> dict:
    body = {"query": query, "documents": documents}
    return httpx.post(f"{predictor.url}/find_similar", json=body, timeout=60).raise_for_status().json()


def test_repeated_documents_are_encoded_once_and_score_the_same(quiet):
    first = ask(quiet, TEXTS)
    assert counts(quiet) == {"hits": 0, "joined": 0, "misses": 4}
    again = ask(quiet, [*reversed(TEXTS), TEXTS[0]])
    assert counts(quiet) == {"hits": 4, "joined": 0, "misses": 4}
    assert again["score"] == pytest.approx(first["score"], abs=1e-5)
    assert quiet.metric("ranklift_cache_entries") == 4
    assert quiet.metric("ranklift_cache_bytes") > 4 * 32 * 4


def test_what_is_in_flight_is_not_encoded_twice(quiet):
    before = counts(quiet)
    documents = [f"in flight {number} " + "array " * 20 for number in range(500)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(quiet, documents), range(8)))
    after = counts(quiet)
    assert len({answer["index"] for answer in answers}) == 1
    assert after["misses"] - before["misses"] == 500
    assert after["joined"] + after["hits"] - before["joined"] - before["hits"] == 7 * 500


def test_queries_are_never_cached(quiet):
    before = quiet.metric("ranklift_cache_entries")
    ask(quiet, TEXTS, query="a query of its own")
    assert quiet.metric("ranklift_cache_entries") == before


def test_it_can_be_switched_off(exported_tiny_model, tmp_path):
    with running(exported_tiny_model, tmp_path, "--cache_megabytes", "0") as predictor:
        for _ in range(2):
            ask(predictor, TEXTS)
        assert counts(predictor) == {"hits": 0, "joined": 0, "misses": 8}
        assert predictor.metric("ranklift_cache_entries") == 0

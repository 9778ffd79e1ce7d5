"""Searches that are as large as the limits allow, many at a time, and searches of clients that leave."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.hostile.conftest import PASSAGES

ALL_IDS = [f"p{number:05}" for number in range(PASSAGES)]
LARGEST = {
    "many queries": {"queries": ["sort the array"] * 2000, "top_k": 5},
    "a large top_k": {"query": "sort the array", "top_k": 10_000},
    "many queries among many ids": {"queries": ["sort"] * 1000, "top_k": 10, "ids": ALL_IDS[:1000]},
    "one id a thousand times": {"queries": ["sort"] * 1000, "top_k": 10, "ids": ["p00001"] * 1000},
    "a top_k beyond the ids": {"query": "sort", "top_k": 10_000, "ids": ALL_IDS[:2]},
}


@pytest.mark.parametrize("body", LARGEST.values(), ids=LARGEST)
def test_search_at_the_limits_from_many_clients_leaves_room_for_an_honest_one(survivor, body):
    def ask(_):
        return httpx.post(f"{survivor.url}/search", json=body, timeout=60).status_code

    with ThreadPoolExecutor(8) as clients:
        greedy = clients.map(ask, range(16))
        honest = [httpx.post(f"{survivor.url}/search", json={"query": "sort"}, timeout=60) for _ in range(3)]
        assert set(greedy) <= {200, 429, 503}
    assert [answer.status_code for answer in honest] == [200, 200, 200]
    assert [len(answer.json()["hits"]) for answer in honest] == [10, 10, 10]


def test_search_of_clients_that_leave_is_given_up(survivor):
    body = json.dumps(LARGEST["many queries"]).encode()
    headers = ["POST /search HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    head = "\r\n".join([*headers, f"Content-Length: {len(body)}", "", ""])
    for _ in range(20):
        with survivor.connect() as connection:
            connection.sendall(head.encode() + body)
    time.sleep(0.2)
    answer = httpx.post(f"{survivor.url}/search", json={"query": "sort"}, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"queries": ["a"] * 2049}, id="queries"),
        pytest.param({"query": "a", "top_k": 10_001}, id="top_k"),
        pytest.param({"queries": ["a"] * 2048, "top_k": 2**62}, id="product-beyond-64-bits"),
        pytest.param({"query": "a", "ids": ALL_IDS[:1001]}, id="ids"),
    ],
)
def test_search_beyond_a_limit_is_refused_with_the_limit(survivor, body):
    answer = httpx.post(f"{survivor.url}/search", json=body, timeout=60)
    assert answer.status_code == 422
    assert "is the limit" in answer.json()["error"]

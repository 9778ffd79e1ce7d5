"""The JSON of a body means what it means to Python's own parser, however it is parsed."""

import asyncio
import json
import string

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from predictor.http.json_route import JsonRequest, JsonRoute
from predictor.http.routes import cohere, find_similar, openai, score, search, tei

BODIES = {
    "a key twice": b'{"a": 1, "b": 2, "a": 3}',
    "not a number": b"[NaN]",
    "infinities": b"[Infinity, -Infinity, 1e999]",
    "minus zero": b"[-0, -0.0]",
    "beyond 64 bits": b"[18446744073709551616, -9223372036854775809, %d]" % 10**300,
    "more digits than a float has": b"[0.1000000000000000055511151231257827021181583404541015625]",
    "the smallest float": b"[5e-324, 2.2250738585072011e-308]",
    "a lone surrogate in escapes": rb'["\ud800"]',
    "a low surrogate before a high one": rb'["\udc00\ud800"]',
    "a surrogate pair in escapes": rb'["\ud83d\ude00"]',
    "a surrogate in UTF-8": b'["\xed\xa0\x80"]',
    "a byte order mark": b'\xef\xbb\xbf["\xc3\xa9"]',
    "UTF-16": '["é"]'.encode("utf-16"),
    "UTF-32": '["é"]'.encode("utf-32"),
    "nested 500 levels deep": b"[" * 500 + b"]" * 500,
    "a long string": b'["' + b"ab\\n" * 100_000 + b'"]',
    "a long string with a lone surrogate": b'["' + b"ab\\n" * 100_000 + b'\\ud800"]',
}
FAULTS = {
    "nothing": b"",
    "half an object": b'{"a":',
    "not UTF-8": b'["\xff"]',
    "a control character": b'["\x01"]',
    "a comma too many": b"[1,]",
    "a number with a leading zero": b"[01]",
    "a number without digits after its point": b"[1.]",
    "another value after the first": b"[] []",
    "a NUL after the value": b"[]\x00",
    "white space that JSON does not know": b"\x0b[]",
    "nested 100,000 levels deep": b"[" * 100_000,
    "more digits than Python reads": b"1" * 5000,
}


def read(body: bytes) -> object:
    """What a route gets of a body."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return asyncio.run(JsonRequest({"type": "http"}, receive).json())


def outcome(parse, body: bytes) -> str:
    """The value, spelled so that types, signs and the order of keys show; or the error."""
    try:
        return repr(parse(body))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("body", [*BODIES.values(), *FAULTS.values()], ids=[*BODIES, *FAULTS])
def test_json_of_an_odd_body_is_what_python_reads(body):
    assert outcome(read, body) == outcome(json.loads, body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(string.printable), children, max_size=4),
)


@given(VALUES, st.booleans(), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_json_of_any_value_is_what_python_reads(value, is_ascii, encoding):
    body = json.dumps(value, ensure_ascii=is_ascii).encode(encoding, "surrogatepass")
    assert outcome(read, body) == outcome(json.loads, body)


@given(VALUES, st.integers(0, 50), st.sampled_from(b'0123456789"\\{}[],:-+.eEuN \n\x00\xff'))
def test_json_with_a_wrong_byte_is_what_python_makes_of_it(value, position, byte):
    body = bytearray(json.dumps(value).encode())
    body[position % len(body)] = byte
    assert outcome(read, bytes(body)) == outcome(json.loads, bytes(body))


@pytest.mark.parametrize(
    "module", [cohere, find_similar, openai, score, search, tei], ids=lambda module: module.__name__
)
def test_routes_with_a_body_of_json_read_it_so(module):
    with_body = [route for route in module.router.routes if isinstance(route, APIRoute) and route.body_field]
    assert with_body
    assert all(isinstance(route, JsonRoute) for route in with_body)

"""How long one request stops the predictor's event loop: the largest bodies that are allowed, of every kind.

    python tests/benchmarks/event_loop.py --exported DIR [--rounds 5] [--bound 20] [--only WORDS]

The predictor runs in this process, with a callback that the loop calls in every turn: the most CPU time of its thread
between two calls is the longest stop. CPU time does not count what other processes take. Each body is sent as it is and
compressed, by a thread. Prints milliseconds, the median of the rounds and the most; the status is 1 when one is above
the bound.
"""

import argparse
import gzip
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import uvloop

from predictor import server

sys.path.insert(0, str(Path(__file__).parent))

from questions import WORDS

_PORT = 18133
_LARGEST = (4 << 20) - 4096  # bytes; the limit, less what is around the texts
_LONGEST = 99_000  # characters
_JSON = {"Content-Type": "application/json"}


class Watch:
    """The longest stop of an event loop since it was set back to 0."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = 0.0

    def new_loop(self) -> Any:
        """An event loop that is watched."""
        loop = uvloop.new_event_loop()

        def beat() -> None:
            now = time.thread_time()
            self.longest = max(self.longest, now - self._last) if self._last else 0.0
            self._last = now
            loop.call_soon(beat)

        loop.call_soon(beat)
        return loop


def texts(unit: str, count: int = 42, *, escaped: bool = True) -> list[str]:
    """So many texts, as long as fit: each begins with a number that no other has, and repeats a unit."""
    size = len(json.dumps(unit, ensure_ascii=escaped).encode()) - 2
    each = min(_LONGEST // len(unit), (_LARGEST // count - 32) // size)
    started = os.urandom(4).hex()
    return [f"{started} {number} " + unit * each for number in range(count)]


def asked(documents: list[str], *, escaped: bool = True) -> bytes:
    """A request of /find_similar."""
    return json.dumps({"query": "a", "documents": documents}, ensure_ascii=escaped).encode()


def beside(values: str) -> bytes:
    """A small request with something large in a field that is ignored."""
    return b'{"query": "a", "documents": ["b"], "more": %s}' % values.encode()


def listed(value: str) -> bytes:
    """A small request with as many of a value as fit, in a field that is ignored."""
    return beside("[" + ",".join([value] * min(49_000, _LARGEST // (len(value) + 1))) + "]")


def tensors(documents: list[str]) -> bytes:
    """A request of the Open Inference Protocol."""
    query = {"name": "query", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    inputs = [query, {"name": "documents", "shape": [len(documents)], "datatype": "BYTES", "data": documents}]
    return json.dumps({"inputs": inputs}).encode()


_KEYS = ",".join(f'"{number}{"k" * 70}":1' for number in range(49_000))
BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "words of 99 letters": ("/find_similar", lambda: asked(texts("x" * 99 + " "))),
    "1,000 texts": ("/find_similar", lambda: asked(texts(" ".join(WORDS), 1000))),
    "ideographs": ("/find_similar", lambda: asked(texts("中", escaped=False), escaped=False)),
    "ideographs, escaped": ("/find_similar", lambda: asked(texts("中"))),
    "emoji, escaped": ("/find_similar", lambda: asked(texts("😀"))),
    "lines of a letter": ("/find_similar", lambda: asked(texts("a\n"))),
    "quotes and backslashes": ("/find_similar", lambda: asked(texts('"\\'))),
    "lines, then a lone surrogate": ("/find_similar", lambda: asked([*texts("a\n")[:-1], "\ud800"])),
    "lines over v1": ("/v1/models/ranklift:predict", lambda: b'{"instances":[%s]}' % asked(texts("a\n"))),
    "lines over v2": ("/v2/models/ranklift/infer", lambda: tensors(texts("a\n"))),
    "49,000 strings": ("/find_similar", lambda: listed('"' + "b" * 78 + '"')),
    "49,000 keys": ("/find_similar", lambda: beside("{" + _KEYS + "}")),
    "49,000 floats": ("/find_similar", lambda: listed("1." + "7" * 78)),
    "numbers of 640 digits": ("/find_similar", lambda: listed("7" * 640)),
    "numbers of 4,300 digits": ("/find_similar", lambda: listed("7" * 4300)),
}


def measure(watch: Watch, path: str, body: bytes, headers: dict[str, str]) -> tuple[float, int]:
    """The longest stop that a request made, in milliseconds, and its status."""
    connection = HTTPConnection("127.0.0.1", _PORT, timeout=60)
    watch.longest = 0.0
    connection.request("POST", path, body, {**_JSON, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    time.sleep(0.05)  # an answer may be sent before the turn of the loop that made it has ended
    return 1000 * watch.longest, answer.status


def measure_all(watch: Watch, options: argparse.Namespace, longest: list[float]) -> None:
    """Send every body, then end the predictor."""
    try:
        for name, (path, make) in BODIES.items():
            for compressed in (False, True):
                if options.only not in name:
                    continue
                stops, statuses = [], set()
                for _ in range(options.rounds):
                    body = gzip.compress(make(), 1) if compressed else make()
                    stop, status = measure(watch, path, body, {"Content-Encoding": "gzip"} if compressed else {})
                    stops.append(stop)
                    statuses.add(status)
                longest.append(max(stops))
                shown = f"{name}{', compressed' if compressed else ''}: status {sorted(statuses)}"
                print(f"{shown}, {statistics.median(stops):.1f} ms, at most {max(stops):.1f}", flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bound", type=float, default=20.0, help="milliseconds")
    parser.add_argument("--only", default="", help="words in the names of the bodies to send")
    options = parser.parse_args()
    watch, longest = Watch(), [0.0]
    client = Thread(target=_measure_when_ready, args=(watch, options, longest))
    server._loop_factory = lambda: watch.new_loop
    sys.argv[1:] = ["--host", "127.0.0.1", "--model_dir", options.exported, "--http_port", str(_PORT)]
    sys.argv += ["--enable_grpc", "false", "--request_timeout", "1"]  # what is not computed by then need not be
    client.start()
    status = server.main()
    client.join()
    return status or int(max(longest) > options.bound)


def _measure_when_ready(watch: Watch, options: argparse.Namespace, longest: list[float]) -> None:
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", _PORT, timeout=10)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.1)
    measure_all(watch, options, longest)


if __name__ == "__main__":
    sys.exit(main())

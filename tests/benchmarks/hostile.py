"""What an honest client notices while others attack: its latency, as a ratio to the one that it has alone.

    python tests/benchmarks/hostile.py --exported DIR [--seconds 10] [--rounds 3] [--bound 3]

One client asks a query with 10 documents that were never asked before, again and again; the predictor has the memory
that the manifest allows. Attackers are threads of a process of its own, on the same cores. Prints the ratio of the p99
of each attack to the p99 of the same round without one, the median of the rounds and their spread, and the largest
resident memory; the status is 1 when a median is above the bound.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Thread

sys.path.insert(0, str(Path(__file__).parent))

from load import Result, closed_loop
from questions import questions
from servers import predictor, server

_PORT = 18107
_MEMORY = 1 << 30  # bytes, as in kserve/inference-service.yaml
_HEAD = b"POST /find_similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_NUMBERS = count()


def _connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", _PORT), 10)


def _request(body: bytes) -> bytes:
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _documents(texts: int, text: str) -> bytes:
    number = next(_NUMBERS)
    return json.dumps({"query": "a", "documents": [f"{number} {n} {text}" for n in range(texts)]}).encode()


def leave_with_work() -> None:
    """Send a thousand texts, and leave before they are answered."""
    with _connect() as client:
        client.sendall(_request(_documents(1000, "array graph " * 20)))
        time.sleep(0.2)


def stay_with_work() -> None:
    """Send a thousand texts, and wait."""
    with _connect() as client:
        client.sendall(_request(_documents(1000, "array graph " * 20)))
        client.recv(1 << 20)


def long_words() -> None:
    """Send texts whose words are as long as a tokenizer takes them apart."""
    with _connect() as client:
        client.sendall(_request(_documents(38, ("x" * 99 + " ") * 990)))
        client.recv(1 << 20)


def wrong_elements() -> None:
    """Send as many elements of the wrong type as fit."""
    with _connect() as client:
        client.sendall(_request(b'{"query": "a", "documents": [' + b",".join([b"1"] * 1_000_000) + b"]}"))
        client.recv(1 << 20)


def unfinished_bodies() -> None:
    """Send all of a large body but its end."""
    with _connect() as client:
        client.sendall(_HEAD + b"Content-Length: 4000000\r\n\r\n" + b" " * 3_900_000)
        client.recv(1 << 20)


def endless_trailers() -> None:
    """Send trailers for as long as they are taken."""
    with _connect() as client:
        client.sendall(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        while True:
            client.sendall(b"X-A: " + b"b" * 60_000 + b"\r\n")


def idle_connections() -> None:
    """Open a hundred connections and say nothing."""
    clients = [_connect() for _ in range(100)]
    time.sleep(2)
    for client in clients:
        client.close()


ATTACKS: dict[str, tuple[int, Callable[[], None]]] = {
    "4 clients that leave after sending 1,000 texts": (4, leave_with_work),
    "4 clients with 1,000 texts each": (4, stay_with_work),
    "4 clients with words of 99 letters": (4, long_words),
    "2 clients with a million wrong elements": (2, wrong_elements),
    "50 clients with unfinished bodies of 4 MB": (50, unfinished_bodies),
    "4 clients with endless trailers": (4, endless_trailers),
    "20 clients with 100 idle connections each": (20, idle_connections),
}


def _attack(name: str) -> None:
    clients, act = ATTACKS[name]

    def again() -> None:
        while True:
            with suppress(OSError):
                act()

    threads = [Thread(target=again) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def attacked(name: str) -> Iterator[None]:
    """An attack, which has begun."""
    process = multiprocessing.get_context("fork").Process(target=_attack, args=(name,))
    process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def honest(seconds: float) -> Result:
    """What one client sees."""
    make = questions(documents=10, repeated=False, seed=str(next(_NUMBERS)))
    return asyncio.run(closed_loop(_PORT, "/find_similar", make, 1, seconds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bound", type=float, default=3.0)
    parser.add_argument("--log", default="hostile.log")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {name: [] for name in ATTACKS}
    failures: dict[str, int] = dict.fromkeys(ATTACKS, 0)
    health = f"http://127.0.0.1:{_PORT}/v2/health/ready"
    command = predictor(options.exported, _PORT, "--cache_megabytes", "16")
    with server("ranklift", _limited(command), health, Path(options.log)) as started:
        honest(options.seconds)
        for _ in range(options.rounds):
            alone = honest(options.seconds).percentile(0.99)
            for name, measured in ratios.items():
                with attacked(name):
                    result = honest(options.seconds)
                measured.append(result.percentile(0.99) / alone)
                failures[name] += result.failures
                print(f"{name}: {measured[-1]:.2f}, {result.failures} failed", flush=True)
        peak = int(Path(f"/proc/{started.pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
    medians = {name: statistics.median(measured) for name, measured in ratios.items()}
    for name, measured in ratios.items():
        print(f"{name}: {medians[name]:.2f} ({min(measured):.2f} to {max(measured):.2f}), {failures[name]} failed")
    print(json.dumps({"p99 ratios": medians, "peak_megabytes": peak}))
    return 0 if max(medians.values()) <= options.bound else 1


def _limited(command: list[str]) -> list[str]:
    """The command under the manifest's memory limit; see tests/hostile/conftest.py for why it is RLIMIT_DATA."""
    setting = f"import os, resource, sys; resource.setrlimit({resource.RLIMIT_DATA}, ({_MEMORY},) * 2)"
    return [sys.executable, "-c", f"{setting}; os.execv(sys.argv[1], sys.argv[1:])", *command]


if __name__ == "__main__":
    sys.exit(main())

"""Memory of a predictor: at rest, under usual load, and when as much waits at once as it admits.

    python tests/benchmarks/serving_memory.py --exported DIR [--seconds 20]

Told are megabytes that are resident (a) once it is ready, (b) after 8 clients have asked a query with 10 documents for
so many seconds, and (c) after 32 clients have asked with 100 documents each, 3,200 texts at once, until the cache of
document embeddings is full.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from load import Make, closed_loop
from questions import questions
from servers import metric, predictor, server

_PORT = 18101
_FULL = 0.98  #: of the cache: what is left is smaller than an entry or two
_LONGEST = 900.0  #: seconds until the cache must be full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--cache_megabytes", type=int, default=64, help="as the predictor's own default")
    parser.add_argument("--log", default="serving-memory.log")
    options = parser.parse_args()
    flags = ["--request_timeout", "600", "--cache_megabytes", str(options.cache_megabytes)]
    command = predictor(options.exported, _PORT, *flags)
    with server("ranklift", command, f"http://127.0.0.1:{_PORT}/v2/health/ready", Path(options.log)) as started:
        found = {"idle": started.megabytes()}
        _load(questions(10, False, "usual"), 8, options.seconds)
        found["usual load"] = started.megabytes()
        begun, make = time.monotonic(), questions(100, False, "many")
        while _cached() < _FULL * options.cache_megabytes * 2**20 and time.monotonic() - begun < _LONGEST:
            _load(make, 32, options.seconds)
        found["cache full, 3,200 texts waited"] = started.megabytes()
    print(json.dumps({"megabytes": found, "cache_bytes": options.cache_megabytes * 2**20}, indent=1))


def _load(make: Make, clients: int, seconds: float) -> None:
    result = asyncio.run(closed_loop(_PORT, "/find_similar", make, clients, seconds))
    if result.failures:
        sys.exit(f"{result.failures} of {result.requests} requests failed.")


def _cached() -> float:
    return metric(_PORT, "ranklift_cache_bytes")


if __name__ == "__main__":
    main()

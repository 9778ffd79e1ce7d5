"""Ten minutes at full load: does the predictor's memory grow, does any request fail?

    python tests/benchmarks/soak.py --exported DIR [--minutes 10]

Requests of many sizes, some of them repeated, from 8 clients. Memory is compared with what it was after the first two
minutes, by when cache and buffers are as large as they get.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from load import closed_loop
from questions import mixed
from servers import predictor, server

_PORT = 18101
_WARM = 120.0
_STEP = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cache_megabytes", default="4", help="small, so that it is full before memory is compared")
    parser.add_argument("--log", default="soak.log")
    options = parser.parse_args()
    flags = ["--request_timeout", "600", "--cache_megabytes", options.cache_megabytes]
    command = predictor(options.exported, _PORT, *flags)
    health = f"http://127.0.0.1:{_PORT}/v2/health/ready"
    points: list[dict[str, Any]] = []
    with server("ranklift", command, health, Path(options.log)) as started:
        begun = time.monotonic()
        failures = requests = 0
        while (passed := time.monotonic() - begun) < 60 * options.minutes:
            result = asyncio.run(closed_loop(_PORT, "/find_similar", mixed(str(passed)), 8, _STEP))
            failures += result.failures
            requests += result.requests
            points.append({"seconds": round(time.monotonic() - begun), "megabytes": started.megabytes()})
            print(points[-1], requests, failures, flush=True)
    warm = max(point["megabytes"] for point in points if point["seconds"] <= _WARM + _STEP)
    growth = points[-1]["megabytes"] / warm - 1
    print(json.dumps({"requests": requests, "failures": failures, "growth": round(growth, 4), "points": points}))
    return 0 if failures == 0 and growth <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())

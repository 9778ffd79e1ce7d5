"""Ten minutes at full load: does the predictor's memory grow, does any request fail?

    python tests/benchmarks/soak.py --exported DIR [--minutes 10]

Requests of 1 to 40 documents of 1 to 120 words, never seen before, and every fifth one repeated, from 8 clients.
Memory is compared with what it was after the first two minutes, by when cache and buffers are as large as they get.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from load import Make, closed_loop
from serving import OURS, memory, sentence, server

_WARM = 120.0
_STEP = 20.0


def mixed(seed: str) -> Make:
    chooser = random.Random(seed)
    kept: list[dict[str, object]] = []

    def make() -> dict[str, object]:
        if kept and chooser.random() < 0.2:
            return chooser.choice(kept)
        documents = [sentence(chooser, chooser.randint(1, 120)) for _ in range(chooser.randint(1, 40))]
        question: dict[str, object] = {"query": sentence(chooser, 8), "documents": documents}
        kept.append(question)
        del kept[:-50]
        return question

    return make


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cache_megabytes", default="4", help="small, so that it is full before memory is compared")
    parser.add_argument("--log", default="soak.log")
    options = parser.parse_args()
    command = [sys.executable, "-m", "predictor", "--model_dir", options.exported, "--http_port", str(OURS)]
    command += ["--request_timeout", "600", "--host", "127.0.0.1", "--enable_grpc", "false"]
    command += ["--cache_megabytes", options.cache_megabytes]
    health = f"http://127.0.0.1:{OURS}/v2/health/ready"
    points: list[dict[str, Any]] = []
    with server("ranklift", command, health, Path(options.log)) as started:
        begun = time.monotonic()
        failures = requests = 0
        while (passed := time.monotonic() - begun) < 60 * options.minutes:
            result = asyncio.run(closed_loop(OURS, "/find_similar", mixed(str(passed)), 8, _STEP))
            failures += result.failures
            requests += result.requests
            points.append({"seconds": round(time.monotonic() - begun), "megabytes": memory(started["pid"])})
            print(points[-1], requests, failures, flush=True)
    warm = max(point["megabytes"] for point in points if point["seconds"] <= _WARM + _STEP)
    growth = points[-1]["megabytes"] / warm - 1
    print(json.dumps({"requests": requests, "failures": failures, "growth": round(growth, 4), "points": points}))
    return 0 if failures == 0 and growth <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())

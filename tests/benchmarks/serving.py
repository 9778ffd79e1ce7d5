"""The predictor against what a user would pick instead, side by side in one run; ratios with their spread.

    python tests/benchmarks/serving.py --model MODEL --exported DIR [--infinity BIN] [--pairs 5] [--seconds 6]

``MODEL`` is a folder that sentence-transformers opens and ``DIR`` what `ranklift export` made of it. Compared are
(a) FastAPI with `SentenceTransformer.encode` per request (seed_server.py), and (b) infinity-emb, from a virtual
environment of its own, for embeddings; its ONNX engine (`--infinity-engine optimum`) wants to be started in a folder
with ``model.onnx`` and given `--infinity-model .`. Every pair measures one after the other, in an order that
alternates; the report is the median ratio and the smallest and largest. Processes are pinned nowhere: the load
generator shares the machine.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from components.machine.processor import has_bf16

sys.path.insert(0, str(Path(__file__).parent))

from load import Connection, Make, Result, closed_loop, open_loop
from machine import gemm_gflops, processor
from questions import inputs, questions, whole_pool
from servers import Server, metric, predictor, server

OURS, SEED, INFINITY = 18101, 18102, 18103


class Side(NamedTuple):
    """One server of a comparison."""

    port: int
    path: str
    server: Server

    def closed(self, make: Make, concurrency: int, seconds: float) -> Result:
        """A closed loop, with the CPU time that the server's process used."""
        return self._with_cpu(closed_loop(self.port, self.path, make, concurrency, seconds))

    def open(self, make: Make, rate: float, seconds: float, seed: int) -> Result:
        """An open loop, likewise."""
        return self._with_cpu(open_loop(self.port, self.path, make, rate, seconds, seed=seed))

    def _with_cpu(self, load: Coroutine[Any, Any, Result]) -> Result:
        before = self.server.cpu_seconds()
        result = asyncio.run(load)
        result.cpu = self.server.cpu_seconds() - before
        return result

    def fill(self) -> None:
        """Ask for every document that is repeated."""

        async def send() -> None:
            connection = Connection(self.port, self.path)
            for question in whole_pool():
                await connection.post(json.dumps(question).encode())

        asyncio.run(send())


def pairs(count: int, ours: Callable[[int], Result], theirs: Callable[[int], Result]) -> dict[str, Any]:
    """Measure both, again and again, in an order that alternates."""
    kept: list[tuple[Result, Result]] = []
    for number in range(count):
        if number % 2:
            second = theirs(number)
            kept.append((ours(number), second))
        else:
            kept.append((ours(number), theirs(number)))
    ratios = sorted(a.throughput / b.throughput for a, b in kept)
    cheaper = sorted(a.per_cpu_second / b.per_cpu_second for a, b in kept)
    slower = sorted(a.percentile(0.99) / b.percentile(0.99) for a, b in kept)
    return {
        "throughput_ratio": _spread(ratios),
        "per_cpu_second_ratio": _spread(cheaper),
        "p99_ratio": _spread(slower),
        "ours": _summary([a for a, _ in kept]),
        "theirs": _summary([b for _, b in kept]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"median": round(middle, 2), "min": round(values[0], 2), "max": round(values[-1], 2)}


def _summary(results: list[Result]) -> dict[str, float]:
    def median(of: Callable[[Result], float]) -> float:
        return round(statistics.median(map(of, results)), 2)

    return {
        "requests_per_second": median(lambda result: result.throughput),
        "requests_per_cpu_second": median(lambda result: result.per_cpu_second),
        "p50_ms": median(lambda result: result.percentile(0.5)),
        "p95_ms": median(lambda result: result.percentile(0.95)),
        "p99_ms": median(lambda result: result.percentile(0.99)),
        "failures": sum(result.failures for result in results),
    }


def profile(ours: Side, threads: int, seconds: float) -> dict[str, float]:
    """At full load: how much of the time and of the CPU is inference, and the rate of tokens.

    The streams' threads are those of the process with the most CPU time; the rest is HTTP, JSON, tokens and queue.
    """
    before = [metric(OURS, f"ranklift_{name}_sum") for name in ("inference_seconds", "batch_tokens")]
    used = ours.server.thread_seconds()
    result = ours.closed(questions(10, False, f"profile {ours.port}"), 32, seconds)
    names = ("inference_seconds", "batch_tokens")
    busy, tokens = (metric(OURS, f"ranklift_{name}_sum") - b for name, b in zip(names, before, strict=True))
    now = ours.server.thread_seconds()
    each = sorted((seconds - used.get(thread, 0.0) for thread, seconds in now.items()), reverse=True)
    gigaflops = tokens * 2 * 12 * 384 * 384 * 6 / 1e9  # the six layers' products, of a MiniLM-L6; attention left out
    return {
        "inference_share_of_time": round(busy / (result.seconds * threads), 3),
        "inference_share_of_cpu": round(sum(each[:threads]) / sum(each), 3),
        "tokens_per_second": round(tokens / result.seconds),
        "gflops": round(gigaflops / result.seconds, 1),
        "gflops_per_cpu_second": round(gigaflops / result.cpu, 1),
    }


class Bench:
    """The comparisons of one run, and the report that they fill."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.logs = Path(options.output).resolve().parent
        self.precision = json.loads((Path(options.exported) / "encoder.json").read_text())["precision"]
        self.report: dict[str, Any] = {
            "processor": processor(),
            "has_bf16": has_bf16(),
            "precision": self.precision,
            "infinity_engine": options.infinity_engine if options.infinity else None,
            "pairs": options.pairs,
            "cases": {},
        }
        print(f"{self.report['processor']}; the model is served in {self.precision}", flush=True)
        if not has_bf16():
            print("This processor has no bf16: what is said of bf16 cannot be measured here.", flush=True)

    def run(self) -> None:
        """All of it."""
        threads = len(os.sched_getaffinity(0))
        with ExitStack() as stack:
            command = predictor(self.options.exported, OURS)
            ours = self._start(stack, "ranklift", OURS, "/find_similar", "v2/health/ready", command)
            seed = self._start(stack, "seed", SEED, "/find_similar", "health", self._seed())
            sides = {"ranklift": ours, "seed": seed}
            self._find_similar(ours, seed)
            if self.options.infinity:
                other = self._start(stack, "infinity", INFINITY, "/embeddings", "health", self._infinity())
                sides["infinity"] = other
                self._embeddings(ours._replace(path="/v1/embeddings"), other)
            self.report["profile"] = profile(ours, threads, self.options.seconds)
            for name, side in sides.items():
                self.report[name]["loaded_megabytes"] = side.server.megabytes()
        # torch has no int8 product to compare with: an int8 model may reach more than all of fp32's.
        self.report["gemm_gflops"] = gemm_gflops(self.precision == "bf16", threads)
        self.report["gemm_precision"] = "bf16" if self.precision == "bf16" else "fp32"
        self.report["share_of_gemm"] = round(self.report["profile"]["gflops"] / self.report["gemm_gflops"], 2)

    def _start(self, stack: ExitStack, name: str, port: int, path: str, health: str, command: list[str]) -> Side:
        url = f"http://127.0.0.1:{port}/{health}"
        quiet = {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
        started = stack.enter_context(server(name, command, url, self.logs / f"{name}.log", **quiet))
        self.report[name] = {"start_seconds": started.start_seconds, "idle_megabytes": started.megabytes()}
        return Side(port, path, started)

    def _seed(self) -> list[str]:
        script = Path(__file__).parent / "seed_server.py"
        return [sys.executable, str(script), self.options.model, str(SEED), self.options.length]

    def _infinity(self) -> list[str]:
        model = self.options.infinity_model or self.options.model
        flags = ["--model-id", model, "--engine", self.options.infinity_engine, "--device", "cpu"]
        flags += ["--no-bettertransformer", "--served-model-name", "m", "--port", str(INFINITY), "--host", "127.0.0.1"]
        return [self.options.infinity, "v2", *flags]

    def _find_similar(self, ours: Side, seed: Side) -> None:
        seconds = self.options.seconds
        for documents, repeated, concurrency in cases(self.options):
            name = f"1+{documents} {'repeated' if repeated else 'distinct'} documents, concurrency {concurrency}"

            def at(
                side: Side, number: int, case: tuple[int, bool, int, str] = (documents, repeated, concurrency, name)
            ) -> Result:
                count, again, clients, title = case
                return side.closed(questions(count, again, f"{title} {side.port} {number}"), clients, seconds)

            if repeated:
                ours.fill()
            at(ours, -1)
            self._pairs(name, partial(at, ours), partial(at, seed))
        rate = self.options.rate or 0.7 * self._measured("1+10 distinct documents, concurrency 8")

        def offered(side: Side, number: int) -> Result:
            return side.open(questions(10, False, f"open {side.port} {number}"), rate, 3 * seconds, number)

        name = f"open loop, 1+10 distinct documents, {rate:.1f} requests/s offered"
        self._pairs(name, partial(offered, ours), partial(offered, seed))

    def _embeddings(self, ours: Side, other: Side) -> None:
        for concurrency in (8,) if self.options.quick else (1, 8, 32):

            def at(side: Side, number: int, clients: int = concurrency) -> Result:
                make = inputs(11, f"embed {clients} {side.port} {number}")
                return side.closed(make, clients, self.options.seconds)

            name = f"embeddings of 11 distinct texts, concurrency {concurrency}, against infinity"
            self._pairs(name, partial(at, ours), partial(at, other))

    def _measured(self, name: str) -> float:
        return float(self.report["cases"][name]["theirs"]["requests_per_second"])

    def _pairs(self, name: str, ours: Callable[[int], Result], theirs: Callable[[int], Result]) -> None:
        measured = pairs(self.options.pairs, ours, theirs)
        self.report["cases"][name] = measured
        self.write()
        shown = ", ".join(f"{key} {measured[key]}" for key in ("throughput_ratio", "per_cpu_second_ratio", "p99_ratio"))
        print(f"{name}: {shown}\n    ours   {measured['ours']}\n    theirs {measured['theirs']}", flush=True)

    def write(self) -> None:
        """Keep what was measured so far."""
        Path(self.options.output).write_text(json.dumps(self.report, indent=1))


def cases(options: argparse.Namespace) -> Iterator[tuple[int, bool, int]]:
    if options.quick:
        yield from ((10, False, 1), (10, False, 8), (10, True, 8))
    else:
        yield from itertools.product((10, 100), (False, True), (1, 8, 32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--exported", required=True)
    parser.add_argument("--length", default="128", help="max_seq_length of the seed's server; the export's")
    parser.add_argument("--infinity", help="the program infinity_emb of another virtual environment")
    parser.add_argument("--infinity-engine", default="torch")
    parser.add_argument("--infinity-model", help="where it finds the model, when its engine needs another form")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument(
        "--rate", type=float, help="requests a second of the open loop; 0.7 of the seed's when left out"
    )
    parser.add_argument("--quick", action="store_true", help="three cases instead of twelve")
    parser.add_argument("--output", default="serving-benchmark.json")
    options = parser.parse_args()
    bench = Bench(options)
    bench.run()
    bench.write()
    print(json.dumps({key: value for key, value in bench.report.items() if key != "cases"}, indent=1))


if __name__ == "__main__":
    main()

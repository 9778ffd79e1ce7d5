"""The predictor against what a user would pick instead and against itself of before, side by side in one run.

    python tests/benchmarks/serving.py --model MODEL --exported DIR [--former CHECKOUT] [--infinity BIN] [--rounds 3]

``MODEL`` is a folder that sentence-transformers opens and ``DIR`` what `ranklift export` made of it. Compared are
(a) the reference, FastAPI with `SentenceTransformer.encode` in fp32 per request (seed_server.py), (b) with `--former`
the predictor of another commit, from a checkout (`git worktree add CHECKOUT COMMIT`), which serves the same files, and
(c) with `--infinity` infinity-emb, from a virtual environment, for embeddings; its ONNX engine (`--infinity-engine
optimum`) wants to be started in a folder with ``model.onnx`` and given `--infinity-model .`. In each round every
contestant is measured for some seconds, in an order that changes from round to round; the report has the median of the
rounds' ratios, the smallest and the largest. At full load it also has the share of what the engine does alone with the
same texts (engine.py), in turns with it. Processes are pinned nowhere: the load generator shares the machine, and
ratios of requests for a CPU second of the server are less disturbed by what else runs than those of the wall clock.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from components.machine.processor import has_bf16

sys.path.insert(0, str(Path(__file__).parent))

from engine import FLOP_PER_TOKEN, Engine
from load import Result
from machine import gemm_gflops, load_average, processor
from questions import inputs, questions
from rounds import Measure, Side, compare, spread
from servers import metric, predictor, server

OURS, REFERENCE, INFINITY, FORMER = 18101, 18102, 18103, 18104
_FULL_LOAD = 32  # clients


def profile(ours: Side, threads: int, seconds: float) -> dict[str, float]:
    """At full load: how much of the time and of the CPU is inference, and the rate of tokens.

    The streams' threads are those of the process with the most CPU time; the rest is HTTP, JSON, tokens and queue.
    """
    before = [metric(OURS, f"ranklift_{name}_sum") for name in ("inference_seconds", "batch_tokens")]
    used = ours.server.thread_seconds()
    result = ours.closed(questions(10, False, f"profile {ours.port}"), _FULL_LOAD, seconds)
    names = ("inference_seconds", "batch_tokens")
    busy, tokens = (metric(OURS, f"ranklift_{name}_sum") - b for name, b in zip(names, before, strict=True))
    now = ours.server.thread_seconds()
    each = sorted((seconds - used.get(thread, 0.0) for thread, seconds in now.items()), reverse=True)
    gigaflops = tokens * FLOP_PER_TOKEN / 1e9
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
            "rounds": options.rounds,
            "seconds": options.seconds,
            "load_average": [load_average()],
            "servers": {},
            "cases": {},
        }
        print(f"{self.report['processor']}; the model is served in {self.precision}", flush=True)
        if not has_bf16():
            print("This processor has no bf16: what is said of bf16 cannot be measured here.", flush=True)

    def run(self) -> None:
        """All of it."""
        threads = len(os.sched_getaffinity(0))
        with ExitStack() as stack:
            ours, others = self._contestants(stack)
            self._find_similar(ours, others)
            self._embeddings(stack, ours, others)
            self.report["share_of_engine"] = self._share_of_engine(ours, others)
            self.report["profile"] = profile(ours, threads, self.options.seconds)
            for name, side in {"ranklift": ours, **others}.items():
                self.report["servers"][name]["loaded_megabytes"] = side.server.megabytes()
        # torch has no int8 product to compare with: an int8 model may reach more than all of fp32's.
        self.report["gemm_gflops"] = gemm_gflops(self.precision == "bf16", threads)
        self.report["gemm_precision"] = "bf16" if self.precision == "bf16" else "fp32"
        self.report["share_of_gemm"] = round(self.report["profile"]["gflops"] / self.report["gemm_gflops"], 2)
        self.report["load_average"].append(load_average())

    def _contestants(self, stack: ExitStack) -> tuple[Side, dict[str, Side]]:
        exported, health = str(Path(self.options.exported).resolve()), "v2/health/ready"
        ours = self._start(stack, "ranklift", OURS, health, predictor(exported, OURS))
        others = {}
        if self.options.former:
            former = Path(self.options.former).resolve()
            path = os.pathsep.join((str(former), str(former / "kserve")))
            command = predictor(exported, FORMER)
            others["former"] = self._start(stack, "former", FORMER, health, command, former, PYTHONPATH=path)
        if not self.options.no_reference:
            others["reference"] = self._start(stack, "reference", REFERENCE, "health", self._reference())
        return ours, others

    def _start(
        self,
        stack: ExitStack,
        name: str,
        port: int,
        health: str,
        command: list[str],
        folder: Path | None = None,
        **environment: str,
    ) -> Side:
        url = f"http://127.0.0.1:{port}/{health}"
        quiet = {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
        log = self.logs / f"{name}.log"
        started = stack.enter_context(server(name, command, url, log, folder, **quiet, **environment))
        self.report["servers"][name] = {
            "start_seconds": started.start_seconds, "idle_megabytes": started.megabytes()
        }  # fmt: skip
        return Side(port, "/find_similar", started)

    def _reference(self) -> list[str]:
        script = Path(__file__).parent / "seed_server.py"
        return [sys.executable, str(script), self.options.model, str(REFERENCE), self.options.length]

    def _infinity(self) -> list[str]:
        model = self.options.infinity_model or self.options.model
        flags = ["--model-id", model, "--engine", self.options.infinity_engine, "--device", "cpu"]
        flags += ["--no-bettertransformer", "--served-model-name", "m", "--port", str(INFINITY), "--host", "127.0.0.1"]
        return [self.options.infinity, "v2", *flags]

    def _find_similar(self, ours: Side, others: Mapping[str, Side]) -> None:
        for case in cases(self.options):
            self._find_similar_case(ours, others, *case)
        eight = self.report["cases"].get("1+10 distinct documents, concurrency 8")
        if eight is None and self.options.rate is None:
            return
        slowest = min(of["requests_per_second"] for of in eight["measured"].values()) if eight else 0.0
        rate = self.options.rate or 0.7 * slowest

        def offered(side: Side, number: int) -> Result:
            make = questions(10, False, f"open {side.port} {number}")
            return side.open(make, rate, 3 * self.options.seconds, number)

        name = f"open loop, 1+10 distinct documents, {rate:.1f} requests/s offered"
        self._compare(name, ours, others, offered)

    def _find_similar_case(
        self, ours: Side, others: Mapping[str, Side], documents: int, repeated: bool, clients: int
    ) -> None:
        name = f"1+{documents} {'repeated' if repeated else 'distinct'} documents, concurrency {clients}"

        def measure(side: Side, number: int) -> Result:
            make = questions(documents, repeated, f"{name} {side.port} {number}")
            return side.closed(make, clients, self.options.seconds)

        if not self._is_asked_for(name):
            return
        for side in (ours, *others.values()):
            if repeated and side.port in (OURS, FORMER):
                side.fill()
            measure(side, -1)
        self._compare(name, ours, others, measure)

    def _embeddings(self, stack: ExitStack, ours: Side, others: Mapping[str, Side]) -> None:
        rivals = {name: side for name, side in others.items() if name == "former"}
        if self.options.infinity:
            rivals["infinity"] = self._start(stack, "infinity", INFINITY, "health", self._infinity())
        paths = {OURS: "/v1/embeddings", FORMER: "/v1/embeddings", INFINITY: "/embeddings"}
        rivals = {name: side._replace(path=paths[side.port]) for name, side in rivals.items()}
        if not rivals:
            return
        for clients in (8,) if self.options.quick else (1, 8, 32):
            name = f"embeddings of 11 distinct texts, concurrency {clients}"

            def measure(side: Side, number: int, clients: int = clients, name: str = name) -> Result:
                return side.closed(inputs(11, f"{name} {side.port} {number}"), clients, self.options.seconds)

            self._compare(name, ours._replace(path=paths[OURS]), rivals, measure)

    def _share_of_engine(self, ours: Side, others: Mapping[str, Side]) -> dict[str, Any]:
        """Requests at full load for those whose texts the engine alone infers, of a second and of a CPU second."""
        engine = Engine(self.options.exported)
        sides = {"ranklift": ours, **{name: side for name, side in others.items() if name == "former"}}
        shares: dict[str, dict[str, list[float]]] = {name: {"of_time": [], "of_cpu": []} for name in sides}
        for number in range(self.options.rounds):
            for name, side in sides.items():
                alone = engine.requests(10, self.options.seconds)
                served = side.closed(
                    questions(10, False, f"full {side.port} {number}"), _FULL_LOAD, self.options.seconds
                )
                shares[name]["of_time"].append(served.throughput / alone.throughput)
                shares[name]["of_cpu"].append(served.per_cpu_second / alone.per_cpu_second)
        found = {name: {kind: spread(values) for kind, values in of.items()} for name, of in shares.items()}
        print(f"share of what the engine does alone, {_FULL_LOAD} clients: {found}", flush=True)
        return found

    def _compare(self, name: str, ours: Side, others: Mapping[str, Side], measure: Measure) -> None:
        if not self._is_asked_for(name):
            return
        compared = compare(ours, others, self.options.rounds, measure)
        self.report["cases"][name] = compared
        self.write()
        print(name, flush=True)
        for side, measured in compared["measured"].items():
            print(f"    {side}: {measured}", flush=True)
        for other, ratios in compared["ratio_to"].items():
            shown = ", ".join(f"{key} {of['median']} ({of['min']} to {of['max']})" for key, of in ratios.items())
            print(f"    ratio to {other}: {shown}", flush=True)

    def _is_asked_for(self, name: str) -> bool:
        return self.options.only in name

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
    parser.add_argument("--length", default="128", help="max_seq_length of the reference; the export's")
    parser.add_argument("--former", help="a checkout of the commit whose predictor is compared too")
    parser.add_argument("--no-reference", action="store_true", help="leave FastAPI and SentenceTransformer out")
    parser.add_argument("--infinity", help="the program infinity_emb of another virtual environment")
    parser.add_argument("--infinity-engine", default="torch")
    parser.add_argument("--infinity-model", help="where it finds the model, when its engine needs another form")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument(
        "--rate", type=float, help="requests a second of the open loop; 0.7 of the slowest's when left out"
    )
    parser.add_argument("--quick", action="store_true", help="three cases instead of twelve")
    parser.add_argument("--only", default="", help="words in the names of the cases to measure, such as: concurrency 8")
    parser.add_argument("--output", default="serving-benchmark.json")
    options = parser.parse_args()
    bench = Bench(options)
    bench.run()
    bench.write()
    print(json.dumps({key: value for key, value in bench.report.items() if key != "cases"}, indent=1))


if __name__ == "__main__":
    main()

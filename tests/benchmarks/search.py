"""How long a search takes, in this process and over HTTP, and how much memory the predictors of one index share.

    python tests/benchmarks/search.py --exported DIR --index DIR --queries FILE [--seconds 10] [--pairs 3]
    python tests/benchmarks/search.py --exported DIR --vectors FILE.npy --queries FILE

``DIR`` is what `ranklift export` made and what `ranklift index` made of it, ``FILE`` has a query a line. ``--vectors``
takes an array of unit vectors of the model in place of an index and makes one of them, with the graph that the index
stage builds: embedding a million passages takes longer than asking them. Every figure is the median of the pairs with
the smallest and the largest; beside the time on the wall stands the server's CPU time for each request, which a busy
machine does not disturb.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from load import closed_loop
from machine import processor
from servers import Server, predictor, server

from components.machine.digest import file_sha256
from components.machine.processor import available_cpus
from components.model.encoder import Encoder, comparable
from components.search.graph import build_graph
from components.search.reader import Index, open_index
from components.search.shard import Shard
from components.search.version import INDEX, Graph, graph_name, shard_name
from tests.factories.index_versions import make_index

PORT = 18111
K = 10
CLIENTS = (1, 8)


def indexed(vectors: Path, folder: Path, model_digest: str) -> Path:
    """An index of vectors that were embedded before, with ids and short texts, in the shape of the index stage's."""
    rows = np.load(vectors, mmap_mode="r")
    ids = [f"p{number:08}" for number in range(len(rows))]
    texts = [f"The text of passage {name}." for name in ids]
    manifest = make_index(folder, rows, ids, texts, shard_size=16_384, model=model_digest)
    settings = Graph(storage="int8", shards=8, connectivity=16, expansion_add=128, expansion_search=64, sha256=[])
    digests = []
    (folder / "graphs").mkdir()
    for number, first in enumerate(range(0, len(manifest.shards), settings.shards)):
        last = min(first + settings.shards, len(manifest.shards))
        shards = [Shard(folder / shard_name(place)) for place in range(first, last)]
        path = folder / graph_name(number)
        build_graph(shards, manifest.similarity, settings, available_cpus()).save(str(path))
        digests.append(file_sha256(path))
    graph = settings.model_copy(update={"sha256": digests})
    manifest.model_copy(update={"graph": graph}).write(folder / INDEX)
    return folder


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile, milliseconds."""
    ordered = np.sort(seconds) * 1000
    return float(np.quantile(ordered, 0.5)), float(np.quantile(ordered, 0.99))


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_process(encoder: Encoder, index: Index, queries: list[str]) -> dict[str, tuple[float, float]]:
    """p50 and p99 of embedding a query, of searching for it, and of both, one after the other."""
    embed, search = [], []
    for query in queries:
        begun = time.perf_counter()
        vectors = comparable(encoder.encode_queries([query]), encoder.config)
        embed.append(time.perf_counter() - begun)
        search.append(timed(lambda rows=vectors: index.texts(index.search(rows, K).positions[0])))
    both = [one + other for one, other in zip(embed, search, strict=True)]
    return {"embed": percentiles(embed), "search": percentiles(search), "both": percentiles(both)}


def over_http(served: Server, queries: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Latency and throughput of `POST /search` with so many clients that ask again when they are answered."""
    turn = itertools.cycle(queries)
    before = served.cpu_seconds()
    result = asyncio.run(closed_loop(PORT, "/search", lambda: {"query": next(turn), "top_k": K}, clients, seconds))
    cpu = served.cpu_seconds() - before
    if result.failures:
        sys.exit(f"{result.failures} searches failed.")
    return {
        "p50_ms": result.percentile(0.5),
        "p99_ms": result.percentile(0.99),
        "per_s": result.throughput,
        "cpu_ms": 1000 * cpu / result.requests,
    }


def proportional_megabytes(pid: int) -> tuple[float, float]:
    """Resident memory, and the proportional share of it: a page that two processes map counts half for each."""
    fields = dict(
        line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:] if ":" in line
    )
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("Rss", "Pss"))  # type: ignore[return-value]


def spread(figures: list[float]) -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})"


def shared_memory(exported: str, index: Path, queries: list[str], folder: Path) -> str:
    """What a second predictor of the same index adds: both are asked everything, so that both have read their pages."""
    flags = ("--index_dir", str(index), "--cache_megabytes", "0")
    with ExitStack() as stack:
        pids = []
        for number in range(2):
            port = PORT + 1 + number
            command = predictor(exported, port, *flags)
            log = folder / f"{number}.log"
            started = stack.enter_context(
                server("a predictor", command, f"http://127.0.0.1:{port}/v2/health/ready", log)
            )
            turn = iter(queries)
            for _ in queries:
                asyncio.run(closed_loop(port, "/search", lambda turn=turn: {"query": next(turn)}, 1, 0.0001))
            pids.append(started.pid)
        figures = [proportional_megabytes(pid) for pid in pids]
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file()) / 1e6
    alone = ", ".join(f"{rss:.0f} MB resident, {pss:.0f} MB as its share" for rss, pss in figures)
    return f"two predictors of one index of {size:.0f} MB: {alone}"


def measure(arguments: argparse.Namespace, index_folder: Path, folder: Path) -> list[str]:
    """Everything, as lines to read."""
    encoder = Encoder.open(Path(arguments.exported), threads=1)
    index = open_index(index_folder, encoder.digest)
    queries = [line for line in Path(arguments.queries).read_text(encoding="utf-8").splitlines() if line.strip()][:500]
    lines = [f"{processor()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {len(index):,} passages"]
    in_process(encoder, index, queries)  # the pages are read, and the graph compiled, before anything is timed
    alone = [in_process(encoder, index, queries) for _ in range(arguments.pairs)]
    for part in ("embed", "search", "both"):
        p50, p99 = ([run[part][place] for run in alone] for place in (0, 1))
        lines.append(f"in process, {part}: p50 {spread(p50)} ms, p99 {spread(p99)} ms")
    command = predictor(arguments.exported, PORT, "--index_dir", str(index_folder))
    health = f"http://127.0.0.1:{PORT}/v2/health/ready"
    with server("the predictor", command, health, folder / "predictor.log") as served:
        lines.append(f"ready after {served.start_seconds} s")
        over_http(served, queries, 1, 2.0)
        for clients in CLIENTS:
            runs: list[dict[str, Any]] = [
                over_http(served, queries, clients, arguments.seconds) for _ in range(arguments.pairs)
            ]
            told = ", ".join(f"{name} {spread([run[name] for run in runs])}" for name in runs[0])
            lines.append(f"over HTTP, {clients} clients: {told}")
    return [*lines, shared_memory(arguments.exported, index_folder, queries, folder)]


def main() -> None:
    """Measure, and print the lines and one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exported", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--index", type=Path)
    source.add_argument("--vectors", type=Path)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        digest = Encoder.open(Path(arguments.exported), threads=1).digest
        index = arguments.index or indexed(arguments.vectors, folder / "index", digest)
        print(json.dumps(measure(arguments, index, folder), indent=1))


if __name__ == "__main__":
    main()

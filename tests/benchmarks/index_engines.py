"""USearch, FAISS and hnswlib beside each other on vectors of the real encoder: what `docs/search.md` chooses by.

    python tests/benchmarks/index_engines.py vectors MODEL vectors.npy --count 100000
    python tests/benchmarks/index_engines.py widen vectors.npy wide.npy --count 1000000
    python tests/benchmarks/index_engines.py build vectors.npy FOLDER [--engines usearch-i8,hnswlib-f32,…]
    python tests/benchmarks/index_engines.py compare vectors.npy FOLDER [--queries 500] [--engines …]

`vectors` embeds paragraphs of the docstrings of installed packages with an exported model. `widen` makes more of them
where embedding as many would take hours: each is a vector moved towards one of its nearest neighbours by a random
share of the way, with noise of the size of a rounding, so that neighbourhoods stay as dense as real ones are. `build`
makes the file of each engine and its figures in FOLDER; `compare` builds those that are not there, then asks all of
them, so that the long part may run on a busy machine and the short one alone. Both need `pip install faiss-cpu hnswlib
usearch`; each engine runs in a process of its own and is asked by one thread. The last 10,000 vectors are not in any
index: the queries are drawn from them.

Every engine has the same graph (HNSW, 16 neighbours, 128 candidates while it is built) and is asked with the fewest
candidates of 32, 64, 128, 256, 512 that find 98 % of the ten best. `+ rescored`: twenty candidates, scored again with
float16 vectors from a mapped file.
"""

import argparse
import ast
import json
import multiprocessing
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from engines import ENGINES, THREADS, Engine

SEARCHES = (32, 64, 128, 256, 512)
HELD_OUT = 10_000
K = 10


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    embed = commands.add_parser("vectors")
    embed.add_argument("model", type=Path)
    embed.add_argument("output", type=Path)
    embed.add_argument("--count", type=int, default=100_000)
    embed.set_defaults(run=lambda given: _embed(given.model, given.output, given.count))
    more = commands.add_parser("widen")
    more.add_argument("vectors", type=Path)
    more.add_argument("output", type=Path)
    more.add_argument("--count", type=int, default=1_000_000)
    more.set_defaults(run=lambda given: _widen(given.vectors, given.output, given.count))
    for name, run in (("build", _built), ("compare", _compare)):
        command = commands.add_parser(name)
        command.add_argument("vectors", type=Path)
        command.add_argument("folder", type=Path)
        command.add_argument("--queries", type=int, default=500)
        command.add_argument("--engines", type=lambda names: names.split(","), default=list(ENGINES))
        command.set_defaults(run=run)
    given = parser.parse_args()
    given.run(given)


def paragraphs() -> Iterator[str]:
    """Paragraphs of the docstrings of this Python and of what is installed in it."""
    places = sysconfig.get_paths()
    for root in (Path(places["purelib"]), Path(places["stdlib"])):
        for path in sorted(root.rglob("*.py")):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError, RecursionError):
                continue
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
            texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
            for paragraph in (" ".join(part.split()) for text in texts for part in text.split("\n\n")):
                if 20 <= len(paragraph) <= 160:
                    yield paragraph


def _embed(model: Path, output: Path, count: int) -> None:
    from itertools import islice

    from components.model.encoder import Encoder

    seen: set[str] = set()
    texts = list(islice((text for text in paragraphs() if not (text in seen or seen.add(text))), count))
    np.random.default_rng(13).shuffle(texts)
    encoder = Encoder.open(model)
    shape = (len(texts), encoder.config.dimension)
    vectors = np.lib.format.open_memmap(output, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, len(texts), 8192):
        vectors[start : start + 8192] = encoder.encode_documents(texts[start : start + 8192])
    print(f"{len(texts):,} vectors at {output}")


def _widen(source: Path, output: Path, count: int) -> None:
    real = np.load(source, mmap_mode="r")
    last = np.array(real[-HELD_OUT:])
    base = np.array(real[:-HELD_OUT])
    rng = np.random.default_rng(13)
    wide = np.lib.format.open_memmap(output, mode="w+", dtype=np.float32, shape=(count + HELD_OUT, base.shape[1]))
    wide[: len(base)] = base[:count]
    for start in range(len(base), count, 8192):
        rows = rng.integers(len(base), size=min(8192, count - start))
        others = base[rng.integers(len(base), size=20_000)]
        near = others[
            np.argpartition(-(base[rows] @ others.T), 8, axis=1)[np.arange(len(rows)), rng.integers(8, size=len(rows))]
        ]
        share = rng.uniform(0.1, 0.5, size=(len(rows), 1)).astype(np.float32)
        mixed = (1 - share) * base[rows] + share * near + rng.normal(0, 0.01, near.shape).astype(np.float32)
        wide[start : start + len(rows)] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    wide[count:] = last
    print(f"{count:,} vectors and {len(last):,} queries at {output}")


def _built(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Build the engines that were not built in the folder yet; returns the figures of all of them."""
    given.folder.mkdir(parents=True, exist_ok=True)
    count = len(np.load(given.vectors, mmap_mode="r")) - HELD_OUT
    found = {}
    for name in given.engines:
        told = given.folder / f"{name}.json"
        if not told.exists():
            arguments = (name, str(given.vectors), count, str(given.folder / name))
            told.write_text(json.dumps(_in_a_process(_build, arguments)))
        found[name] = json.loads(told.read_text())
        print(name, found[name], flush=True)
    return found


def _compare(given: argparse.Namespace) -> None:
    built = _built(given)
    vectors = np.load(given.vectors, mmap_mode="r")
    count = len(vectors) - HELD_OUT
    asked = np.array(vectors[count : count + given.queries])
    best = _exact(vectors, count, asked)
    print(f"{count:,} vectors, {given.queries} queries, {THREADS} threads build, 1 asks")
    for name in given.engines:
        for row in _in_a_process(_ask, (name, str(given.vectors), str(given.folder / name), asked, best)):
            print(json.dumps({"engine": name, **built[name], **row}), flush=True)


def _in_a_process(action: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(action, arguments)


def _exact(vectors: Any, count: int, queries: Any) -> Any:
    scores = np.full((len(queries), K), -np.inf, dtype=np.float32)
    places = np.zeros((len(queries), K), dtype=np.int64)
    for start in range(0, count, 16_384):
        block = queries @ np.array(vectors[start : min(count, start + 16_384)]).T
        merged = np.concatenate([scores, block], axis=1)
        at = np.concatenate([places, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)], axis=1)
        order = np.argpartition(-merged, K, axis=1)[:, :K]
        scores, places = np.take_along_axis(merged, order, axis=1), np.take_along_axis(at, order, axis=1)
    return places


def _build(name: str, vectors: str, count: int, path: str) -> dict[str, float]:
    engine = ENGINES[name]()
    before = _held()
    started, cpu = time.perf_counter(), time.process_time()
    index = engine.build(np.load(vectors, mmap_mode="r")[:count])
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    engine.save(index, path)
    return {
        "build_s": round(seconds, 1),
        "build_cpu_s": round(cpu, 1),
        "build_mb": round((_held() - before) / 1e3),
        "file_mb": round(Path(path).stat().st_size / 1e6),
    }


def _ask(name: str, vectors: str, path: str, queries: Any, best: Any) -> list[dict[str, Any]]:
    engine = ENGINES[name]()
    stored = np.load(vectors, mmap_mode="r")
    before = _held()
    started = time.perf_counter()
    index = engine.open(path)
    opened = time.perf_counter() - started
    engine.ask(index, queries[:20], K, 32)
    rows = []
    for rescored in (False, True):
        for candidates in SEARCHES:
            row = _measured(engine, index, queries, best, candidates, stored if rescored else None)
            if row["recall@10"] >= 0.98 or candidates == SEARCHES[-1]:
                rows.append({"rescored": rescored, "open_ms": round(opened * 1000, 1), **row})
                break
    private = round((_held() - before) / 1e3)
    return [{**row, "search_mb": private} for row in rows]


def _measured(engine: Engine, index: Any, queries: Any, best: Any, candidates: int, stored: Any) -> dict[str, Any]:
    found, seconds = [], []
    for query in queries:
        started, cpu = time.perf_counter(), time.thread_time()
        keys = np.ravel(engine.ask(index, query[None, :], 2 * K if stored is not None else K, candidates)).astype(
            np.int64
        )
        if stored is not None:
            keys = keys[np.argsort(-(stored[keys].astype(np.float16).astype(np.float32) @ query))[:K]]
        seconds.append((time.perf_counter() - started, time.thread_time() - cpu))
        found.append(len(set(keys.tolist()) & set(best[len(found)].tolist())) / K)
    wall, cpu_time = zip(*seconds, strict=True)
    return {
        "candidates": candidates,
        "recall@10": round(float(np.mean(found)), 4),
        "queries_per_s": round(len(wall) / sum(wall)),
        "queries_per_cpu_s": round(len(wall) / sum(cpu_time)),
        "p50_ms": round(float(np.median(wall)) * 1000, 2),
        "p99_ms": round(float(np.quantile(wall, 0.99)) * 1000, 2),
    }


def _held() -> float:
    """Kilobytes of this process that no file backs."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Anonymous:")))


if __name__ == "__main__":
    main()

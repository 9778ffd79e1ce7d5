"""Training speed: ranklift against sentence-transformers' trainer as it comes, side by side in one run.

    OMP_NUM_THREADS=1 taskset -c 0 python tests/benchmarks/training.py speed DATASET [--recipe seed] [--pairs 5]
        [--steps 12] [--batch-size 64]
    python tests/benchmarks/training.py whole DATASET [--recipe seed] [--seeds 3]
    python tests/benchmarks/training.py profile DATASET [--recipe seed] [--steps 6]
    python tests/benchmarks/training.py start DATASET [--runs 5]

DATASET is a dataset version. `speed` trains both on the same triplets, with the same batch size, for so many steps, in
an order that alternates; the first two steps of each are left out. The trainer as it comes reads as many tokens of a
text as the model serves, a recipe as many as it says; both stand in the report. It tells triplets a second, the median
ratio with smallest and largest, and the share of this machine's matrix product; the clock is the process's CPU time, so
that other work beside it changes little, and it wants to be pinned to one core. `whole` trains both on all triplets
once, dev measured and the best checkpoint kept, and scores what came of it on test queries, as recipes.py does. `start`
is the time from the start of a process to its first step. Its memory: `training_memory.py`.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from machine import gemm_gflops

_WARM = 2


def steps_of(clock: list[float]) -> float:
    """Seconds a step, the first two left out."""
    return (clock[-1] - clock[_WARM - 1]) / (len(clock) - _WARM)


def clock_callback(stop_after: int = 0) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.ends.append(time.process_time())
            if stop_after and len(self.ends) == stop_after:
                control.should_training_stop = True

    return Clock()


def as_it_comes(options: argparse.Namespace, scratch: Path, bf16: bool) -> float:
    """Triplets a second of the library's trainer."""
    from default_trainer import train_as_it_comes

    clock = clock_callback()
    arguments = {"per_device_train_batch_size": options.batch_size, "max_steps": options.steps}
    train_as_it_comes(options.dataset, scratch, bf16=bf16, callbacks=[clock], seed=1, **arguments)
    return float(options.batch_size / steps_of(clock.ends))


def ours(options: argparse.Namespace, scratch: Path) -> dict[str, float]:
    """Triplets and tokens a second of ranklift's, without the measurements of dev, whose share it tells."""
    trainer, clock, triplets, tokens = prepared(options, scratch)
    trainer.train()
    seconds = steps_of(clock.ends)
    batch = options.batch_size
    return {"triplets": batch * triplets / seconds, "tokens": batch * tokens / seconds}


def prepared(options: argparse.Namespace, scratch: Path) -> tuple[Any, Any, float, float]:
    """ranklift's trainer, its clock, and triplets and tokens for each example."""
    from components.dataset.manifest import DatasetManifest
    from components.model.base import base_model_directory, open_model
    from components.train.examples.tokens import tokenise
    from components.train.examples.triplets import read_examples, with_negatives
    from components.train.loop.dev_set import DevEvaluator, dev_slice
    from components.train.loop.trainer import build_trainer
    from components.train.ranks import Ranks
    from components.train.recipes import recipe_named

    recipe = recipe_named(options.recipe)._replace(batch_size=options.batch_size, mined=False, patience=0, epochs=50.0)
    manifest = DatasetManifest.of(options.dataset)
    model = open_model(base_model_directory(manifest.base_model))
    model.max_seq_length = recipe.length_for(manifest.max_seq_length)
    read = list(read_examples(options.dataset, recipe.all_triplets, scratch))
    chunks = [list(with_negatives(chunk, recipe.negatives)) for chunk in read]
    examples = tokenise(model, chunks, recipe.negatives, scratch / "tokens")
    evaluator = DevEvaluator(dev_slice(options.dataset, 0))
    trainer = build_trainer(
        model,
        examples,
        evaluator,
        recipe,
        precision=options.precision,
        seed=1,
        checkpoints=scratch / "checkpoints",
        ranks=Ranks(),
    )
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    clock = clock_callback(options.steps)
    trainer.add_callback(clock)
    lengths = [sum(map(len, row.values())) for row in examples.__getitems__(range(min(1000, len(examples))))]
    triplets = sum(len(example.negatives) for chunk in read for example in chunk)
    return trainer, clock, triplets / len(examples), statistics.mean(lengths)


def speed(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from components.dataset.manifest import DatasetManifest
    from components.train.precision import uses_bf16
    from components.train.recipes import recipe_named

    recipe, length = recipe_named(options.recipe), DatasetManifest.of(options.dataset).max_seq_length
    bf16 = uses_bf16(options.precision)
    found: dict[str, list[float]] = {}
    for number in range(options.pairs):
        sides = ["ours", "fp32", *(["bf16"] if bf16 else [])]
        for side in sides if number % 2 else reversed(sides):
            with tempfile.TemporaryDirectory() as scratch:
                if side == "ours":
                    measured = ours(options, Path(scratch))
                    found.setdefault("ours", []).append(measured["triplets"])
                    found.setdefault("tokens", []).append(measured["tokens"])
                else:
                    found.setdefault(side, []).append(as_it_comes(options, Path(scratch), side == "bf16"))
        print({name: round(values[-1], 2) for name, values in found.items()}, flush=True)
    peak = gemm_gflops(bf16, torch.get_num_threads(), time.process_time)
    # Forward, and twice that backward where layers are trained; six layers of a MiniLM-L6, attention left out.
    passes = 1 + 2 * (1 - recipe.frozen)
    reached = statistics.median(found["tokens"]) * passes * 2 * 12 * 384 * 384 * 6 / 1e9
    report: dict[str, Any] = {
        "recipe": options.recipe,
        "batch_size": options.batch_size,
        "tokens_read": {"ours": recipe.length_for(length), "as it comes": length},
        "precision": "bf16" if bf16 else "fp32",
        "triplets_per_second": {name: round(statistics.median(found[name]), 2) for name in found if name != "tokens"},
        "gemm_gflops": peak,
        "gflops": round(reached, 1),
        "share_of_gemm": round(reached / peak, 2),
    }
    for name in ("fp32", "bf16"):
        if name in found:
            ratios = [a / b for a, b in zip(found["ours"], found[name], strict=True)]
            report[f"against {name}"] = _spread(ratios)
    return report


def _spread(values: list[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"median": round(middle, 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def whole(options: argparse.Namespace) -> dict[str, Any]:
    """Whole trainings of both sides on all triplets, once each: what they took, and what NDCG@10 came of it."""
    from recipes import DEFAULT, DEFAULT_BF16, Bench, count_cpu_time

    from components.train.precision import uses_bf16

    count_cpu_time()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options.dataset, 0.0, Path(scratch))
        bench.epochs = {DEFAULT: 1.0, options.recipe: 1.0}
        bench.base()
        for seed in range(1, options.seeds + 1):
            bench.default(seed)
            if uses_bf16("auto"):
                bench.default(seed, bf16=True)
            bench.recipe(options.recipe, seed)
    table = bench.table()
    others = [name for name in (DEFAULT, DEFAULT_BF16) if name in bench.took]
    table["times as many triplets a second"] = {name: _ratios(bench.rates, options.recipe, name) for name in others}
    table["times as fast, from the dataset to the model"] = {
        name: _ratios(bench.took, name, options.recipe) for name in others
    }
    return table


def _ratios(values: dict[str, list[float]], above: str, below: str) -> dict[str, float]:
    return _spread([a / b for a, b in zip(values[above], values[below], strict=True)])


def profile(options: argparse.Namespace) -> dict[str, Any]:
    """Where the time of a step goes, by torch's profiler: shares of the CPU time of the costliest operators."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with tempfile.TemporaryDirectory() as scratch:
        trainer, _, _, _ = prepared(options, Path(scratch))
        with profiled(activities=[ProfilerActivity.CPU]) as found:
            trainer.train()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    return {row.key: round(row.self_cpu_time_total / total, 3) for row in rows[:14]}


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of `ranklift train` to the end of its first step, and to its beginning."""
    seconds = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, __file__, "first-step", str(options.dataset), "--recipe", options.recipe]
            begun = time.time()
            told = subprocess.run([*command, "--folder", scratch], check=True, capture_output=True, text=True)
            seconds.append(float(told.stdout.split()[-1]) - begun)
    return {
        "median": round(statistics.median(seconds), 2),
        "min": round(min(seconds), 2),
        "max": round(max(seconds), 2),
    }


def first_step(options: argparse.Namespace) -> None:
    """Train as the command does, and print the time at which the first step begins."""
    before = time.time() - time.monotonic()
    print(before + train_until(options.dataset, options.folder / "model", options.recipe, steps=0), flush=True)


def train_until(dataset: Path, output: Path, recipe: str, steps: int) -> float:
    """Train as the command does and stop after so many steps; the monotonic time at which the first began."""
    from components.train.loop import progress
    from components.train.loop.fit import train_model
    from components.train.options import TrainOptions

    begins: list[float] = []

    class EnoughError(Exception):
        pass

    def begin(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        begins.append(time.monotonic())
        if len(begins) > steps:
            raise EnoughError

    progress.ProgressLines.on_step_begin = begin
    with contextlib.suppress(EnoughError):
        train_model(dataset, output, TrainOptions(recipe=recipe))
    return begins[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("speed", speed),
        ("whole", whole),
        ("profile", profile),
        ("start", start),
        ("first-step", first_step),
    ):
        command = commands.add_parser(name)
        command.set_defaults(does=does)
        command.add_argument("dataset", type=Path)
        command.add_argument("--recipe", default="seed")
        command.add_argument("--pairs", type=int, default=5)
        command.add_argument("--steps", type=int, default=12)
        command.add_argument("--runs", type=int, default=5)
        command.add_argument("--seeds", type=int, default=3)
        command.add_argument("--batch-size", type=int, default=64)
        command.add_argument("--precision", default="auto")
        command.add_argument("--folder", type=Path)
    options = parser.parse_args()
    report = options.does(options)
    if report is not None:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

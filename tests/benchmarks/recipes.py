"""Which recipe gives more NDCG@10 in the same time? Base model, trainer as it comes, and the recipes, on test queries.

    OMP_NUM_THREADS=1 taskset -c 0 python tests/benchmarks/recipes.py DATASET [DATASET …] [--seconds 150] [--seeds 3]

Each DATASET is a dataset version (`ranklift prepare URI -o DATASET --triplets-per-query 100`). Every training gets the
same time, mining and measurements of dev included: the number of epochs is set after a short trial. The clock is the
CPU time of the process: pinned to one core, it is the time on the wall of a machine that does nothing else, and other
work beside it changes nothing. Models are exported in fp32 and evaluated as the pipeline does it. The interval of a
difference is that of the mean over seeds, by bootstrap over queries (10,000 draws, 95 %).
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from components.dataset.manifest import DatasetManifest
from components.evaluate.evaluate import evaluate
from components.export.options import ExportOptions
from components.export.stage import export_for_dataset
from components.model.base import base_model_directory
from components.train.loop import fit as train
from components.train.options import TrainOptions

sys.path.insert(0, str(Path(__file__).parent))

import default_trainer

BASE, DEFAULT, DEFAULT_BF16 = "base", "default trainer", "default trainer in bf16"
_CPU_CLOCK = SimpleNamespace(monotonic=time.process_time)
_TRIAL_TRIPLETS = 256


class Bench:
    """One dataset version, and the scores of everything that was trained on it."""

    def __init__(self, dataset: Path, seconds: float, scratch: Path) -> None:
        self.dataset, self.seconds, self.scratch = dataset, seconds, scratch
        self.manifest = DatasetManifest.of(dataset)
        self.scores: dict[str, list[dict[str, float]]] = {}
        self.took: dict[str, list[float]] = {}
        self.rates: dict[str, list[float]] = {}  #: triplets a second, from the first step to the last
        self.epochs: dict[str, float] = {}
        self.told: dict[str, list[Any]] = {}

    def base(self) -> None:
        """Score the untouched base model."""
        self._score(BASE, base_model_directory(self.manifest.base_model), 0.0)

    def default(self, seed: int, bf16: bool = False) -> None:
        """Train with the library's trainer, all arguments but the epochs and bf16 at their defaults."""
        if DEFAULT not in self.epochs:
            trial = default_trainer.train_as_it_comes(self.dataset, self._folder("trial"), seed=seed, max_steps=24)
            rate = trial.triplets / trial.seconds
            self.epochs[DEFAULT] = rate * self.seconds / self.manifest.counts["train"]
        output = self._folder("model")
        begun = time.process_time()
        trained = default_trainer.train_as_it_comes(
            self.dataset, self._folder("default"), bf16=bf16, seed=seed, num_train_epochs=self.epochs[DEFAULT]
        )
        took = time.process_time() - begun
        trained.model.save_pretrained(str(output / "m"), create_model_card=False)
        name = DEFAULT_BF16 if bf16 else DEFAULT
        self.rates.setdefault(name, []).append(trained.triplets / trained.seconds)
        self._score(name, output / "m", took)

    def recipe(self, name: str, seed: int) -> None:
        """Train with a recipe."""
        if name not in self.epochs:
            self.epochs[name] = self._epochs(name, seed)
        begun = time.process_time()
        output = self._folder("model") / "m"
        report = train.train_model(self.dataset, output, TrainOptions(recipe=name, seed=seed, epochs=self.epochs[name]))
        took = time.process_time() - begun
        kept = ("training_length", "averaging", "best_step", "steps", "dev")
        told = {name: getattr(report, name) for name in kept}
        self.told.setdefault(name, []).append(told)
        self.rates.setdefault(name, []).append(report.triplets_per_second)
        self._score(name, output, took)

    def _epochs(self, name: str, seed: int) -> float:
        """So many that everything takes the time that there is: found by a short trial."""
        few = _TRIAL_TRIPLETS / self.manifest.counts["train"]
        begun = time.process_time()
        options = TrainOptions(recipe=name, seed=seed, epochs=few, evaluations=1)
        with _timed_preparation() as prepared:
            report = train.train_model(self.dataset, self._folder("trial") / "m", options)
        fixed = time.process_time() - begun - report.seconds - prepared[0]
        for_an_epoch = (report.seconds + prepared[0]) / few
        epochs = (self.seconds - fixed) / for_an_epoch
        if epochs > 1:  # examples are prepared once
            epochs = 1 + (self.seconds - fixed - for_an_epoch) / (report.seconds / few)
        return max(few, epochs)

    def _score(self, name: str, model: Path, took: float) -> None:
        served = self._folder("served") / "m"
        export_for_dataset(model, self.dataset, served, ExportOptions(precision="fp32"), base_model=str(model))
        scores = evaluate(served, self.dataset, name=name)
        self.scores.setdefault(name, []).append(scores.per_query["ndcg@10"])
        self.took.setdefault(name, []).append(took)
        value = scores.metrics["ndcg@10"]
        length = scores.encoder["max_seq_length"]
        print(f"{self.dataset.name}  {name}: NDCG@10 {value:.4f} ({length} tokens), {took:.0f} s", flush=True)

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def table(self) -> dict[str, Any]:
        """Means over seeds, and every difference to the default trainer with its interval."""
        means = {name: _mean(runs) for name, runs in self.scores.items()}
        return {
            "max_seq_length": self.manifest.max_seq_length,
            "triplets": self.manifest.counts["train"],
            "seconds_given": self.seconds,
            "epochs": self.epochs,
            "rows": {
                name: {
                    "ndcg@10": round(float(values.mean()), 4),
                    "by seed": [round(float(np.mean(list(run.values()))), 4) for run in self.scores[name]],
                    "seconds": [round(took) for took in self.took[name]],
                    "against the default trainer": _interval(values - means[DEFAULT]),
                    "against the base model": _interval(values - means[BASE]),
                    "told": self.told.get(name, []),
                }
                for name, values in means.items()
            },
        }


def count_cpu_time() -> None:
    """What both sides tell as seconds is CPU time from now on."""
    train.time = default_trainer.time = _CPU_CLOCK


@contextmanager
def _timed_preparation() -> Iterator[list[float]]:
    """How long the examples were made, mining included."""
    make, found = train.token_ids, list[float]()

    def timed(*arguments: Any) -> Any:
        begun = time.process_time()
        made = make(*arguments)
        found.append(time.process_time() - begun)
        return made

    train.token_ids = timed
    try:
        yield found
    finally:
        train.token_ids = make


def _mean(runs: list[dict[str, float]]) -> Any:
    queries = sorted(runs[0])
    return np.mean([[run[query] for query in queries] for run in runs], axis=0)


def _interval(differences: Any) -> dict[str, float]:
    chooser = np.random.default_rng(0)
    draws = chooser.integers(0, len(differences), size=(10_000, len(differences)))
    means = differences[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(differences.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", default="seed,strong")
    parser.add_argument("--output", type=Path, default=Path("recipes-benchmark.json"))
    options = parser.parse_args()
    tables: dict[str, Any] = {}
    count_cpu_time()
    with tempfile.TemporaryDirectory() as scratch:
        for dataset in options.datasets:
            bench = Bench(dataset, options.seconds, Path(scratch))
            bench.base()
            for seed in range(1, options.seeds + 1):
                bench.default(seed)
                for name in options.recipes.split(","):
                    bench.recipe(name, seed)
                tables[dataset.name] = bench.table()
                options.output.write_text(json.dumps(tables, indent=1))
    print(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()

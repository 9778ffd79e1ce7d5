"""Recipes on little data: batches that the data fills, enough steps, and never a refusal for having few examples."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.dataset.manifest import TRAIN
from components.train.little_data import LITTLE, count_examples, fitted
from components.train.loop.fit import train_model
from components.train.options import TrainOptions
from components.train.recipes import MINED, RECIPES, SEED, STRONG
from components.train.report import DEV_NDCG


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("examples", [2, 11, 46, 130, 499])
def test_fitted_fills_its_batches_and_has_steps_enough(recipe, examples):
    found = fitted(recipe, examples)
    assert 2 <= found.batch_size <= min(recipe.batch_size, examples)
    steps = math.ceil(examples / found.batch_size) * found.epochs
    assert steps >= 40 or found.epochs == 10
    assert found.warmup_ratio * steps >= min(4, 0.4 * steps)
    assert found.negatives <= max(1, examples // 4)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_fitted_leaves_a_recipe_as_it_is_where_there_is_data(recipe):
    assert fitted(recipe, LITTLE) == recipe


def test_fitted_keeps_what_the_user_set_and_never_a_batch_that_the_data_cannot_fill():
    found = fitted(SEED._replace(batch_size=64, epochs=2.0), 40, batch_size=64, epochs=2.0)
    assert (found.batch_size, found.epochs) == (40, 2.0)
    assert fitted(MINED, 8).negatives == 2


@pytest.mark.parametrize("shares", [2, 4])
def test_fitted_gives_every_process_the_same_part_of_a_batch(shares):
    assert fitted(SEED, 46, shares=shares).batch_size % shares == 0


def test_count_examples_counts_queries_or_pairs(tmp_path):
    rows = [{"query_id": f"q{n // 4}", "query": "q", "positive": f"p{n // 2}", "negative": f"n{n}"} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / TRAIN)
    assert count_examples(tmp_path, SEED, 20) == 5
    assert count_examples(tmp_path, STRONG, 20) == 10


def test_train_model_on_fewer_examples_than_a_batch_trains(tiny_model, tmp_path):
    from components.prepare.options import PrepareOptions
    from components.prepare.stage import prepare
    from tests.components.prepare.conftest import rows_of, write_rows

    source = str(write_rows(tmp_path / "raw.csv", rows_of(16)))
    prepare(source, tmp_path / "V0", PrepareOptions(base_model=str(tiny_model), folds=1))
    report = train_model(tmp_path / "V0", tmp_path / "model", TrainOptions(precision="fp32"))
    assert report.steps >= 10
    assert report.options.batch_size <= 11
    assert 0 <= report.dev[DEV_NDCG] <= 1

"""A teacher's ranking of a query's passages is learned beside the contrastive loss."""

import os
import shutil
import signal

import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MultipleNegativesRankingLoss
from sentence_transformers.util import pairwise_cos_sim

from components.dataset.manifest import TRAIN
from components.errors import ModelError, RankliftError
from components.model.base import open_model
from components.model.cross_encoder import open_cross_encoder
from components.train.checkpoints.local import StoppedError
from components.train.inputs import look_up
from components.train.loop.distillation import divergence, divergence_of_guessing
from components.train.loop.fit import train_model
from components.train.loop.loss_guard import loss_of_guessing
from components.train.loop.progress import ProgressLines
from components.train.options import TrainOptions
from components.train.recipes import RECIPES
from components.train.report import REPORT, TrainingReport
from components.train.stage import train
from tests.components.train.conftest import QUICK
from tests.factories.models import make_tiny_cross_encoder

WEIGHTS = "model.safetensors"
SCALE = 20.0


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return make_tiny_cross_encoder(tmp_path_factory.mktemp("teacher") / "model")


@pytest.fixture(scope="module")
def taught(teacher):
    """The options of a training with a teacher."""
    return QUICK.model_copy(update={"teacher": str(teacher)})


@pytest.fixture(scope="module")
def learned(dataset, taught, tmp_path_factory):
    """A model that was trained with a teacher in one go, and its report."""
    output = tmp_path_factory.mktemp("learned") / "model"
    return output, train_model(dataset, output, taught)


def embeddings(columns, rows=5):
    chance = torch.Generator().manual_seed(1)
    return [torch.randn(rows, 8, generator=chance) for _ in range(columns)], torch.randn(
        rows, columns - 1, generator=chance
    )


@pytest.mark.parametrize("negatives", [1, 3])
def test_divergence_is_the_librarys(tiny_model, negatives):
    columns, scores = embeddings(2 + negatives)
    model = open_model(tiny_model, device="cpu")
    library = DistillKLDivLoss(model, similarity_fct=lambda one, other: SCALE * pairwise_cos_sim(one, other))
    compare = MultipleNegativesRankingLoss(model).similarity_fct
    found = divergence(columns[0], columns[1:], scores, compare=compare, scale=SCALE)
    torch.testing.assert_close(found, library.compute_loss_from_embeddings(columns, scores))


@pytest.mark.parametrize("negatives", [1, 3])
def test_divergence_of_guessing_is_that_from_a_teacher_that_is_sure(tiny_model, negatives):
    same = [torch.ones(4, 8)] * (2 + negatives)
    sure = torch.tensor([[100.0, *[0.0] * negatives]] * 4)
    compare = MultipleNegativesRankingLoss(open_model(tiny_model, device="cpu")).similarity_fct
    found = divergence(same[0], same[1:], sure, compare=compare, scale=SCALE)
    assert found.item() == pytest.approx(divergence_of_guessing(negatives))


def test_loss_of_guessing_with_a_teacher_has_its_part_as_well(tiny_model):
    model, recipe = open_model(tiny_model, device="cpu"), RECIPES["mined"]
    both = loss_of_guessing(model, recipe, has_teacher=True)
    assert both == pytest.approx(loss_of_guessing(model, recipe) + divergence_of_guessing(recipe.negatives))


def distance(model, teacher, dataset):
    """How far a trained model is from the teacher, on what both saw."""
    rows = pq.read_table(dataset / TRAIN).to_pylist()[:100]
    scores = open_cross_encoder(teacher, "cpu").predict(
        [(row["query"], row[name]) for row in rows for name in ("positive", "negative")],
        activation_fn=torch.nn.Identity(),
    )
    encoder = open_model(model, device="cpu")
    columns = [
        encoder.encode([row[name] for row in rows], convert_to_tensor=True)
        for name in ("query", "positive", "negative")
    ]
    compare = MultipleNegativesRankingLoss(encoder).similarity_fct
    given = torch.from_numpy(scores.reshape(-1, 2))
    return divergence(columns[0], columns[1:], given, compare=compare, scale=SCALE).item()


def test_train_model_with_a_teacher_comes_nearer_to_it_and_says_whose_scores_it_learned(
    learned, trained, teacher, dataset, taught
):
    output, report = learned
    assert distance(output, teacher, dataset) < 0.8 * distance(trained[0], teacher, dataset)
    assert TrainingReport.read(output / REPORT) == report
    assert report.teacher == str(teacher)
    assert report.teacher_sha256 == look_up(dataset, taught).teacher_sha256
    assert (trained[1].teacher, trained[1].teacher_sha256) == ("", "")


def test_train_model_with_a_teacher_leaves_nothing_but_the_model(learned):
    assert [path.name for path in learned[0].parent.iterdir()] == ["model"]


def test_train_model_with_the_same_teacher_again_scores_nothing(dataset, taught, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANKLIFT_CACHE", str(tmp_path / "cache"))
    train_model(dataset, tmp_path / "one", taught)
    assert "teacher: " in capsys.readouterr().err
    shutil.rmtree(tmp_path / "cache" / "examples")
    train_model(dataset, tmp_path / "two", taught)
    assert "teacher: " not in capsys.readouterr().err
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()


def test_train_model_that_mines_asks_the_teacher_about_mined_negatives_too(dataset, taught, tmp_path, capsys):
    report = train_model(dataset, tmp_path / "model", taught.model_copy(update={"recipe": "mined", "epochs": 1}))
    told = capsys.readouterr().err.split("teacher: ")
    assert len(told) > 2, "the mined ones, to drop what may answer the query, and then the data's own"
    assert report.teacher


def test_train_model_with_a_teacher_that_was_stopped_resumes_and_ends_with_the_same_weights(
    dataset, learned, taught, tmp_path, monkeypatch
):
    def stop_at_step_ten(self, args, state, control, **kwargs):
        if state.global_step == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLines, "on_step_end", stop_at_step_ten)
        with pytest.raises(StoppedError):
            train_model(dataset, tmp_path / "model", taught)
    report = train_model(dataset, tmp_path / "model", taught)
    assert report.resumed_step in {10, 11}
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (learned[0] / WEIGHTS).read_bytes()


def test_inputs_with_another_teacher_are_those_of_another_training(dataset, taught, tmp_path):
    other = taught.model_copy(update={"teacher": str(make_tiny_cross_encoder(tmp_path / "other", seed=8))})
    found = [look_up(dataset, options) for options in (QUICK, taught, other)]
    assert len({str(task.inputs()) for task in found}) == 3
    assert len({str(task.data_inputs()) for task in found}) == 3


@pytest.mark.extended
def test_train_in_two_processes_with_a_teacher_makes_the_model_that_one_makes(dataset, teacher, tiny_model, tmp_path):
    from safetensors.torch import load_file

    strong = TrainOptions(  # without dropout, which would be another in each process
        teacher=str(teacher), recipe="strong", batch_size=20, epochs=2, learning_rate=2e-3, precision="fp32"
    )
    train(dataset, tmp_path / "one", strong)
    train(dataset, tmp_path / "two", strong.model_copy(update={"processes": 2}))
    one, two, base = (load_file(folder / WEIGHTS) for folder in (tmp_path / "one", tmp_path / "two", tiny_model))
    moved = sum((one[name] - base[name]).square().sum() for name in one).sqrt()
    apart = sum((one[name] - two[name]).square().sum() for name in one).sqrt()
    assert apart <= 0.01 * moved


def test_train_with_a_base_model_as_teacher_is_refused_before_anything_is_made(dataset, tiny_model, tmp_path):
    with pytest.raises(ModelError, match="is an encoder, which embeds each text by itself; a teacher is a cross-enc"):
        train(dataset, tmp_path / "model", QUICK.model_copy(update={"teacher": str(tiny_model)}))
    assert list(tmp_path.iterdir()) == []


def test_options_with_a_teacher_on_several_nodes_are_refused(teacher):
    with pytest.raises(RankliftError, match="scores the examples on one machine, and num_nodes is 2; leave out teach"):
        TrainOptions.of(teacher=str(teacher), num_nodes=2)

"""A teacher's scores: a cross-encoder's own, made once for each pair, kept whatever interrupts it."""

import numpy as np
import pytest
from sentence_transformers import CrossEncoder

from components.errors import ModelError
from components.train.examples import teacher as module
from components.train.examples.teacher import teaching
from components.train.examples.triplets import Example
from tests.factories.models import make_tiny_cross_encoder

EXAMPLES = [
    Example("sort the array", "the index of a row", ("a tree", "the edge of a graph"), 1),
    Example("find a path", "a node and an edge", ("a tree", "sum of a row"), 2),
]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    return make_tiny_cross_encoder(tmp_path_factory.mktemp("teacher") / "model")


def scores_of(cross_encoder, folder, examples=EXAMPLES):
    with teaching(cross_encoder, folder, "cpu") as teacher:
        return teacher.scores(examples)


@pytest.fixture
def gone(cross_encoder):
    """A folder in which no cross-encoder can be opened."""
    return cross_encoder.parent / "gone"


def test_scores_are_the_cross_encoders_own_without_a_sigmoid(cross_encoder, tmp_path):
    from torch.nn import Identity

    pairs = [(one.query, text) for one in EXAMPLES for text in (one.positive, *one.negatives)]
    expected = CrossEncoder(str(cross_encoder), device="cpu").predict(pairs, activation_fn=Identity())
    found = scores_of(cross_encoder, tmp_path / "scores")
    np.testing.assert_allclose(found, expected.reshape(2, 3), atol=1e-5)
    assert np.ptp(found) > 0.1, "scores that are all the same would pass whatever is looked up"


def test_scores_again_need_no_cross_encoder_and_new_pairs_do(cross_encoder, gone, tmp_path):
    first = scores_of(cross_encoder, tmp_path / "scores")
    assert (scores_of(gone, tmp_path / "scores", EXAMPLES[::-1]) == first[::-1]).all()
    further = [EXAMPLES[0]._replace(query="find the graph")]
    with pytest.raises(ModelError, match="gone cannot be opened"):
        scores_of(gone, tmp_path / "scores", further)
    assert scores_of(cross_encoder, tmp_path / "scores", further).shape == (1, 3)


def test_scores_after_an_interruption_go_on_where_it_was(cross_encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    expected = scores_of(cross_encoder, tmp_path / "whole")
    scores_of(cross_encoder, tmp_path / "scores", EXAMPLES[:1])
    path = tmp_path / "scores" / "scores.bin"
    path.write_bytes(path.read_bytes()[:-3])  # the third record was cut short
    capsys.readouterr()
    np.testing.assert_allclose(scores_of(cross_encoder, tmp_path / "scores"), expected, atol=1e-5)
    assert "teacher: 4 of 4 pairs" in capsys.readouterr().err
    assert path.stat().st_size == (tmp_path / "whole" / "scores.bin").stat().st_size


def test_scores_of_a_pair_that_is_there_twice_are_made_once(cross_encoder, tmp_path, capsys):
    found = scores_of(cross_encoder, tmp_path / "scores", [EXAMPLES[0]] * 3)
    assert "teacher: 3 of 3 pairs" in capsys.readouterr().err
    assert (found == found[0]).all()


def test_scores_of_a_teacher_that_gives_no_number_name_the_pair(cross_encoder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(cross_encoder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["classifier.bias"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"broken gives no number for the query 'sort the array' and the passage 'the"):
        scores_of(broken, tmp_path / "scores")
    assert not (tmp_path / "scores" / "scores.bin").exists()


def test_without_answers_drops_mined_negatives_that_score_like_the_positive_and_no_others(cross_encoder, tmp_path):
    scores = scores_of(cross_encoder, tmp_path / "scores")
    with teaching(cross_encoder, tmp_path / "scores", "cpu") as teacher:
        found = teacher.without_answers(EXAMPLES)
    (positive, _, mined), example = scores[0], EXAMPLES[0]
    assert found[0].negatives == (example.negatives if mined < positive else example.negatives[:1])
    assert found[1] == EXAMPLES[1], "both of its negatives are the data's own"
    twisted = [example._replace(positive=example.negatives[1], negatives=("a tree", example.positive))]
    with teaching(cross_encoder, tmp_path / "scores", "cpu") as teacher:
        (other,) = teacher.without_answers(twisted)
    assert len(other.negatives) + len(found[0].negatives) == 3, "one of the two scores higher than the other"

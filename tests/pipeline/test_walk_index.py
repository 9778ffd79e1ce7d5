"""The walk with a corpus: the model becomes champion together with its verified index, or not at all."""

import pytest

from components.errors import RankliftError
from components.index.options import IndexOptions
from components.index.stage import Given, index_into
from components.model.encoder import Encoder, comparable
from components.model.served import index_beside
from components.object_store.client import ObjectStore
from components.registry.registry import Registry
from components.search.reader import open_index
from pipeline.local.run import run_locally
from tests.factories.datasets import write_triplets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=[1, 3], ids=["one worker", "three workers"])
def workers(request):
    return request.param


@pytest.fixture(scope="module")
def walk(tiny_model, object_store, tmp_path_factory, workers):
    folder = tmp_path_factory.mktemp("walk")
    parameters = {
        "data": str(write_triplets(folder / "triplets.csv", 600)), "base_model": str(tiny_model), "epochs": 2.0,
        "evaluation_queries": 100.0, "batch_size": 16, "learning_rate": 2e-3, "index_corpus": "dataset",
        "index_workers": workers,
    }  # fmt: skip
    settings = object_store.model_copy(update={"bucket": f"walk-index-{workers}"})
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.environment().items():
            environment.setenv(name, value)
        result = run_locally(parameters, folder / "home", list[str]().append)
    return folder / "home", Registry(ObjectStore(settings)), result


def test_model_and_index_become_champion_together(walk, workers):
    _, registry, result = walk
    made = ["index"] if workers == 1 else ["plan-index", *["embed-shards"] * workers, "join-index"]
    assert [stage.stage for stage in result.stages][-len(made) - 2 :] == ["promote", *made, "deploy-2"]
    history = registry.champion().history
    assert [(entry.version, entry.index, entry.action) for entry in history] == [
        ("V0", "V0", "promote"), ("V0", "V0", "serve"),
    ]  # fmt: skip
    lineage = registry.manifest("index", "V0").lineage
    assert (lineage.model_version, lineage.model_digest) == ("V0", history[0].digest)


def test_what_is_served_finds_passages_with_the_index_beside_it(walk):
    home, _, result = walk
    served = home / "serving" / "current"
    encoder = Encoder.open(served)
    index = open_index(index_beside(served), encoder.digest, verify=True)
    verification = index.manifest.verification
    assert verification.ndcg_exact == pytest.approx(result.decision.candidate)
    assert verification.ndcg_index == pytest.approx(result.decision.candidate, abs=0.005)
    hits = index.search(comparable(encoder.encode_queries(["array matrix graph"]), encoder.config), 3)
    assert len(index.texts(hits.positions[0])) == 3


def test_index_is_the_one_that_a_single_stage_makes(walk, tmp_path):
    home, _, result = walk
    served = home / "serving" / "current"
    alone = index_into(Given(served.resolve(), "dataset", result.dataset), tmp_path / "alone", IndexOptions())
    assert open_index(index_beside(served)).manifest.digest == alone.digest


def test_corpus_that_is_not_there_is_told_before_the_first_stage(tmp_path):
    with pytest.raises(RankliftError, match="There is no corpus at nowhere"):
        run_locally({"data": "demo://docstrings", "index_corpus": "nowhere"}, tmp_path, list[str]().append)

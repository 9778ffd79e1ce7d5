"""`ranklift index` and `ranklift indexes`: an index in a folder, and those that the registry holds."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from components.errors import DataError
from components.index.options import IndexOptions
from components.index.promote import index_and_promote
from components.index.stage import Given
from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.search.reader import open_index
from pipeline.cli import app
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision
from tests.factories.evaluation_sets import write_dataset_version


def ranklift(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.jsonl", texts_of(30))


@pytest.fixture
def dataset(tmp_path):
    return write_dataset_version(tmp_path / "dataset")


def test_index_makes_an_index_that_opens(exported_tiny_model, corpus, dataset, tmp_path):
    folder = tmp_path / "index"
    result = ranklift("index", exported_tiny_model, "--corpus", corpus, "--data", dataset, "-o", folder, "--json")
    document = json.loads(result.stdout)
    index = open_index(folder, EncoderConfig.of(exported_tiny_model).digest, verify=True)
    assert (document["digest"], document["corpus"]["passages"]) == (index.manifest.digest, 30)
    assert document["verification"]["recall"] == 1.0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_index_of_the_dataset_itself_with_a_previous_index_embeds_nothing(exported_tiny_model, dataset, tmp_path):
    arguments = ("index", exported_tiny_model, "--corpus", "dataset", "--data", dataset)
    ranklift(*arguments, "-o", tmp_path / "first")
    result = ranklift(*arguments, "-o", tmp_path / "second", "--previous", tmp_path / "first", "--texts", 0, "--json")
    assert json.loads(result.stdout)["build"]["copied"] == 6


def test_index_goes_on_in_a_folder_that_was_left_unfinished(exported_tiny_model, corpus, tmp_path):
    folder = tmp_path / "index"
    ranklift("index", exported_tiny_model, "--corpus", corpus, "-o", folder)
    (folder / "index.json").unlink()
    result = ranklift("index", exported_tiny_model, "--corpus", corpus, "-o", folder)
    assert "30 passages, not verified: no --data was named" in result.stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("index.json", "holds a whole index, which is never overwritten", id="an index"),
        pytest.param("thesis.txt", "holds thesis.txt, which is of no index", id="something else"),
    ],
)
def test_index_writes_over_nothing(exported_tiny_model, corpus, tmp_path, content, sentence):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / content).write_text("{}")
    with pytest.raises(DataError, match=sentence):
        ranklift("index", exported_tiny_model, "--corpus", corpus, "-o", tmp_path / "index")


class TestIndexes:
    @pytest.fixture
    def indexed(self, registry, exported_tiny_model, corpus, dataset, tmp_path, monkeypatch):
        """The registry of this test, with one index, named by the environment."""
        decision = make_decision(candidate_digest=EncoderConfig.of(exported_tiny_model).digest)
        model = shutil.copytree(exported_tiny_model, tmp_path / "model")
        version = promote(model, decision, registry, awaits_index=True)
        given = Given(model, str(corpus), dataset, model_version=version)
        index_and_promote(given, decision, registry, IndexOptions(), home=tmp_path / "home")
        monkeypatch.setenv("RANKLIFT_HOME", str(tmp_path / "home"))
        for name, value in registry.store.settings.environment().items():
            monkeypatch.setenv(name, value)
        return registry

    def test_list_names_model_and_champion(self, indexed):
        (row,) = json.loads(ranklift("indexes", "list", "--json").stdout)
        assert (row["version"], row["model"], row["passages"], row["champion"]) == ("V0", "V0", 30, "champion")
        assert "V0" in ranklift("indexes", "list").stdout

    def test_show_says_what_was_verified(self, indexed):
        assert json.loads(ranklift("indexes", "show", "V0", "--json").stdout)["verification"]["recall"] == 1.0
        assert "verification recall: 1.0" in ranklift("indexes", "show", "V0").stdout

    def test_verify_ends_with_0_for_a_whole_index_and_1_for_a_damaged_one(self, indexed):
        whole = ranklift("indexes", "verify", "V0", "--json")
        assert (whole.exit_code, json.loads(whole.stdout)["passages"]) == (0, 30)
        indexed.store.put("indexes/V0/shards/00000.safetensors", b"cut")
        damaged = ranklift("indexes", "verify", "V0", "--json")
        assert (damaged.exit_code, json.loads(damaged.stdout)["sound"]) == (1, False)
        assert "00000.safetensors" in json.loads(damaged.stdout)["fault"]

    def test_reindex_serves_the_champion_with_another_corpus(self, indexed, dataset, tmp_path):
        corpus = write_corpus(tmp_path / "other.jsonl", texts_of(31))
        result = ranklift("reindex", "--corpus", corpus, "--data", dataset, "--reason", "One more passage.", "--json")
        entry = json.loads(result.stdout)
        assert (entry["version"], entry["index"], entry["action"]) == ("V0", "V1", "serve")
        assert [move.reason for move in indexed.champion().history][1] == "One more passage."
        assert json.loads(ranklift("search", "sort", "--top-k", 2, "--json").stdout)["index_version"] == "V1"

    def test_reindex_of_a_corpus_that_is_not_there_is_told_before_the_first_step(self, indexed, tmp_path):
        with pytest.raises(DataError, match="There is no corpus at"):
            ranklift("reindex", "--corpus", tmp_path / "nowhere.jsonl")


def test_indexes_list_of_an_empty_registry_says_so(registry, monkeypatch):
    for name, value in registry.store.settings.environment().items():
        monkeypatch.setenv(name, value)
    assert "No index has been made yet" in ranklift("indexes", "list").stdout

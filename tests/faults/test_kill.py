"""kill -9 before and after every request that promote, index, deploy and prepare make to the object store.

Whatever the moment: the registry stays readable, the champion is the old or the new one and whole, trying again
succeeds, no number is used twice, and what is left behind is found by `verify` and removed by `prune`.
"""

import json
import os
import shutil
from datetime import timedelta

import pytest

from components.deploy.machine.deploy import deploy_local
from components.deploy.machine.folder import current_link, current_version
from components.index.options import IndexOptions
from components.index.promote import index_and_promote
from components.index.reindex import reindex
from components.index.stage import Given
from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.registry.directory import check_directory
from components.registry.prune import prune
from components.registry.registry import Lineage
from components.registry.verify import verify
from tests.components.index.conftest import texts_of, write_corpus
from tests.factories.decisions import make_decision
from tests.factories.evaluation_sets import write_dataset_version
from tests.factories.model_versions import make_dataset, make_model
from tests.faults.proxy import Fault
from tests.faults.victims import (
    deploy_in_process,
    index_in_process,
    plain,
    promote_in_process,
    publish_dataset_in_process,
    reindex_in_process,
)
from tests.kserve.running import wait_for


def decision_for(model, against="b" * 64):
    return make_decision(candidate_digest=EncoderConfig.of(model).digest, champion_digest=against)


class Victim:
    """Runs a function in a process, kills it at a request, and says whether it was killed."""

    def __init__(self, processes, proxy, settings, function, *arguments):
        self.processes, self.proxy, self.function = processes, proxy, function
        self.arguments = (plain(settings.model_copy(update={"endpoint": proxy.endpoint})), *arguments)

    def calls(self):
        """The requests that it makes when nobody disturbs it."""
        self.proxy.reset()
        process = self._start()
        process.join(60)
        assert process.exitcode == 0
        return [str(call) for call in self.proxy.calls]

    def killed_at(self, number, moment):
        process = None

        def kill():
            process.kill()
            wait_for(lambda: not _is_alive(process.pid))

        def plan(call):
            return Fault(**{moment: kill}) if call.number == number else None

        self.proxy.reset(plan)
        process = self._start()
        process.join(60)
        return process.exitcode == -9

    def _start(self):
        process = self.processes.Process(target=self.function, args=self.arguments)
        process.start()
        return process


def _is_alive(pid):
    # Not with `process.join`: the main thread does that, and only one thread may.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def empty(store):
    for item in store.list():
        store.delete(item.key)


def each_kill(victim, calls, moment, store, start):
    """Kill the victim at one request after the other, each time from the same content of the store."""
    for number, call in enumerate(calls):
        empty(store)
        for key, content in start.items():
            store.put(key, content)
        assert victim.killed_at(number, moment), f"{moment} {call}"
        yield call


def content_of(store):
    return {item.key: store.get(item.key).content for item in store.list()}


@pytest.fixture
def models(tmp_path):
    return [make_model(tmp_path / name, name) for name in ("first", "second")]


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("moment", ["before", "after"])
def test_promote_killed_at_every_request(registry, proxy, processes, models, tmp_path, moment):
    first, second = models
    promote(first, decision_for(first), registry)
    start = content_of(registry.store)
    against = registry.champion().digest
    decision = decision_for(second, against)
    arguments = (second, decision.to_json(), tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, promote_in_process, *arguments)
    calls = victim.calls()
    assert json.loads((tmp_path / "result.json").read_text()) == {"version": "V1"}
    print(f"{len(calls)} requests:", *calls, sep="\n")
    assert len(calls) > 15

    seen = set()
    for call in each_kill(victim, calls, moment, registry.store, start):
        seen.add(registry.champion().version)
        assert {version.version for version in registry.list_versions("model")} <= {"V0", "V1"}
        report = verify(registry)  # reads every file of the champion, against the hashes that its record vouches for
        assert report.sound, (call, report.findings)

        assert promote(second, decision, registry) == "V1"
        assert [version.version for version in registry.list_versions("model")] == ["V0", "V1"]
        assert registry.champion().digest == decision.candidate_digest
        prune(registry, keep=2, older_than=timedelta(0))
        assert verify(registry).findings == [], call
    assert seen == {"V0", "V1"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_prepare_killed_at_every_request(registry, proxy, processes, tmp_path, moment):
    dataset, other = make_dataset(tmp_path / "data", "a"), make_dataset(tmp_path / "other", "b")
    arguments = (dataset, tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, publish_dataset_in_process, *arguments)
    calls = victim.calls()
    print(f"{len(calls)} requests:", *calls, sep="\n")
    for number, call in enumerate(each_kill(victim, calls, moment, registry.store, {})):
        assert verify(registry).sound
        second = registry.publish_dataset(other)
        first = registry.publish_dataset(dataset)
        assert {first.name, second.name} == {"V0", "V1"}
        prune(registry, keep=2, older_than=timedelta(0))
        assert verify(registry).findings == [], call
        registry.download("dataset", first.name, tmp_path / f"{number}")


def test_what_a_killed_run_left_is_named_and_removed(registry, proxy, processes, models, tmp_path):
    first = models[0]
    arguments = (first, decision_for(first).to_json(), tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, promote_in_process, *arguments)
    upload = next(number for number, call in enumerate(victim.calls()) if "encoder.bin" in call and "PUT" in call)
    empty(registry.store)
    assert victim.killed_at(upload, "after")
    assert [finding.fault for finding in verify(registry).findings] == ["unfinished"]
    assert prune(registry, keep=5).unfinished == []  # too young: it may still be running
    assert prune(registry, keep=5, older_than=timedelta(0)).unfinished == ["models/V0"]
    assert verify(registry).findings == []
    assert promote(first, decision_for(first), registry) == "V1"  # a number is never used twice


def test_what_comes_after_a_killed_run_gets_another_number(registry, proxy, processes, models, tmp_path):
    first, second = models
    arguments = (first, decision_for(first).to_json(), tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, promote_in_process, *arguments)
    claim = next(number for number, call in enumerate(victim.calls()) if "claim.json" in call and "PUT" in call)
    empty(registry.store)
    assert victim.killed_at(claim, "after")
    assert promote(second, decision_for(second), registry) == "V1"
    version = registry.publish_model(first, None, Lineage())
    assert version.name == "V0"  # the content that claimed it carries on with it


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("moment", ["before", "after"])
def test_deploy_killed_at_every_request(registry, proxy, processes, exported_tiny_model, tmp_path, moment):
    for number, length in enumerate((32, 16)):
        model = shutil.copytree(exported_tiny_model, tmp_path / f"model-{number}")
        EncoderConfig.of(model).model_copy(update={"max_seq_length": length}).write(model / "encoder.json")
        registry.publish_model(model, None, Lineage())
    deploy_local("V0", registry, tmp_path / "start")
    victim = Victim(processes, proxy, registry.store.settings, deploy_in_process, "V1", tmp_path / "home")
    shutil.copytree(tmp_path / "start", tmp_path / "home", symlinks=True)
    calls = victim.calls()
    print(f"{len(calls)} requests:", *calls, sep="\n")
    assert current_version(tmp_path / "home") == "V1"
    for number in range(len(calls)):
        shutil.rmtree(tmp_path / "home")
        shutil.copytree(tmp_path / "start", tmp_path / "home", symlinks=True)
        assert victim.killed_at(number, moment), f"{moment} {calls[number]}"
        assert current_version(tmp_path / "home") == "V0"
        check_directory(current_link(tmp_path / "home"))
        assert deploy_local("V1", registry, tmp_path / "home") == "V1"
        assert not list((tmp_path / "home" / "serving").glob(".*.partial"))


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_index_killed_at_every_request(registry, proxy, processes, exported_tiny_model, tmp_path, moment):
    first, second = (shutil.copytree(exported_tiny_model, tmp_path / name) for name in ("first", "second"))
    EncoderConfig.of(second).model_copy(update={"max_seq_length": 16}).write(second / "encoder.json")
    options = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)
    corpus = write_corpus(tmp_path / "corpus.jsonl", texts_of(48))
    dataset = write_dataset_version(tmp_path / "dataset")

    def given(model, version):
        return Given(model, str(corpus), dataset, model_version=version)

    decision = decision_for(first)
    promote(first, decision, registry, awaits_index=True)
    index_and_promote(given(first, "V0"), decision, registry, options, home=tmp_path / "home")
    decision = decision_for(second, registry.champion().digest)
    assert promote(second, decision, registry, awaits_index=True) == "V1"
    start = content_of(registry.store)
    arguments = (given(second, "V1"), decision.to_json(), options, tmp_path / "home", tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, index_in_process, *arguments)
    calls = victim.calls()
    assert json.loads((tmp_path / "result.json").read_text()) == {"index": "V1"}
    print(f"{len(calls)} requests:", *calls, sep="\n")
    whole = {item.key for item in registry.store.list()}

    seen = set()
    for call in each_kill(victim, calls, moment, registry.store, start):
        champion = registry.champion()
        seen.add((champion.version, champion.index))
        assert verify(registry).sound, call
        again = index_and_promote(given(second, "V1"), decision, registry, options, home=tmp_path / "home")
        assert (again, registry.champion().version, registry.champion().index) == ("V1", "V1", "V1"), call
        assert {item.key for item in registry.store.list()} == whole
        assert verify(registry).findings == [], call
    assert seen == {("V0", "V0"), ("V1", "V1")}, "model and index never move apart"


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_reindex_killed_at_every_request(registry, proxy, processes, exported_tiny_model, tmp_path, moment):
    options = IndexOptions(shard_size=16, graph_shards=2, exact_up_to=0)
    dataset = write_dataset_version(tmp_path / "dataset")
    given = Given(exported_tiny_model, str(write_corpus(tmp_path / "first.jsonl", texts_of(48))), dataset, "test", "V0")
    decision = decision_for(exported_tiny_model)
    promote(exported_tiny_model, decision, registry, awaits_index=True)
    index_and_promote(given, decision, registry, options, home=tmp_path / "home")
    start = content_of(registry.store)
    # Fetched once: each attempt then makes the same requests.
    registry.download("model", "V0", tmp_path / "home" / "serving" / "V0")
    corpus = str(write_corpus(tmp_path / "second.jsonl", texts_of(48, first=16)))
    arguments = (corpus, options, dataset, tmp_path / "home", tmp_path / "result.json")
    victim = Victim(processes, proxy, registry.store.settings, reindex_in_process, *arguments)
    calls = victim.calls()
    assert json.loads((tmp_path / "result.json").read_text()) == {"index": "V1"}
    print(f"{len(calls)} requests:", *calls, sep="\n")
    whole = {item.key for item in registry.store.list()}

    seen = set()
    for call in each_kill(victim, calls, moment, registry.store, start):
        champion = registry.champion()
        seen.add((champion.version, champion.index))
        assert verify(registry).sound, call
        again = reindex(registry, corpus, options, home=tmp_path / "home", dataset=dataset)
        assert [(entry.index, entry.action) for entry in again.history] == [("V0", "promote"), ("V1", "index")], call
        assert {item.key for item in registry.store.list()} == whole
        assert verify(registry).findings == [], call
    assert seen == {("V0", "V0"), ("V0", "V1")}

"""Many processes at once: no number is shared, no move of the champion is lost."""

import json

from components.model.served import EncoderConfig
from components.promote.promote import promote
from components.registry.verify import verify
from tests.factories.decisions import make_decision
from tests.factories.model_versions import make_dataset, make_model
from tests.faults.victims import plain, promote_in_process, publish_dataset_in_process, rollback_in_process

PROCESSES = 16


def run_all(processes, function, arguments):
    started = [processes.Process(target=function, args=each) for each in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0] * len(started)


def results_of(folder):
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(PROCESSES)]


def arguments_of(registry, folder, models, decisions):
    return [
        (plain(registry.store.settings), model, decision.to_json(), folder / f"{number}.json")
        for number, (model, decision) in enumerate(zip(models, decisions, strict=True))
    ]


def test_sixteen_first_promotes_at_once(registry, processes, tmp_path):
    models = [make_model(tmp_path / f"model-{number}", str(number)) for number in range(PROCESSES)]
    decisions = [make_decision(candidate_digest=EncoderConfig.of(model).digest) for model in models]
    run_all(processes, promote_in_process, arguments_of(registry, tmp_path, models, decisions))

    versions = registry.list_versions("model")
    assert [version.version for version in versions] == [f"V{number}" for number in range(PROCESSES)]
    assert len({version.content for version in versions}) == PROCESSES
    # One was first. The others had been judged against what was there before it, and were told so.
    outcomes = results_of(tmp_path)
    assert sum("version" in outcome for outcome in outcomes) == 1
    assert all("run the pipeline again" in outcome["error"] for outcome in outcomes if "error" in outcome)
    champion = registry.champion()
    assert [entry.number for entry in champion.history] == [0]
    assert {"version": champion.version} in outcomes
    assert verify(registry).findings == []


def test_sixteen_datasets_published_at_once_get_sixteen_numbers(registry, processes, tmp_path):
    datasets = [make_dataset(tmp_path / f"data-{number}", str(number)) for number in range(PROCESSES)]
    arguments = [
        (plain(registry.store.settings), dataset, tmp_path / f"{number}.json")
        for number, dataset in enumerate(datasets)
    ]
    run_all(processes, publish_dataset_in_process, arguments)
    names = [outcome["version"] for outcome in results_of(tmp_path)]
    assert sorted(names, key=lambda name: int(name[1:])) == [f"V{number}" for number in range(PROCESSES)]
    for name, dataset in zip(names, datasets, strict=True):
        fetched = tmp_path / "fetched" / name
        registry.download("dataset", name, fetched)
        assert (fetched / "train.parquet").read_bytes() == (dataset / "train.parquet").read_bytes()
    assert verify(registry).findings == []


def test_the_same_promotion_sixteen_times_at_once_is_one(registry, processes, tmp_path):
    model = make_model(tmp_path / "model")
    decision = make_decision(candidate_digest=EncoderConfig.of(model).digest)
    arguments = arguments_of(registry, tmp_path, [model] * PROCESSES, [decision] * PROCESSES)
    run_all(processes, promote_in_process, arguments)
    assert [version.version for version in registry.list_versions("model")] == ["V0"]
    assert len(registry.champion().history) == 1
    assert results_of(tmp_path) == [{"version": "V0"}] * PROCESSES
    assert verify(registry).findings == []


def test_no_move_of_the_champion_is_lost(registry, processes, tmp_path):
    champion = None
    for content in "ab":
        model = make_model(tmp_path / content, content)
        against = champion.digest if champion else "b" * 64
        decision = make_decision(candidate_digest=EncoderConfig.of(model).digest, champion_digest=against)
        promote(model, decision, registry)
        champion = registry.champion()
    moves = 3
    arguments = [
        (plain(registry.store.settings), ["V0", "V1"], moves, tmp_path / f"{number}.json")
        for number in range(PROCESSES)
    ]
    run_all(processes, rollback_in_process, arguments)
    history = registry.champion().history  # reading it proves the chain
    assert len(history) == 2 + moves * PROCESSES
    assert sum(outcome["conflicts"] for outcome in results_of(tmp_path)) > 0

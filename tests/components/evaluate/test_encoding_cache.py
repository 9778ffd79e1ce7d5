"""Encodings are found again for the same model, data and settings, and for nothing else."""

import json
import os
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from components.errors import ModelError
from components.evaluate.encoding_cache import EncodingCache
from components.evaluate.evaluate import evaluate as evaluate_model
from components.machine.digest import file_sha256
from components.model.encoder import Encoder
from components.model.served import ENCODER_CONFIG, WEIGHTS, EncoderConfig
from tests.factories.evaluation_sets import CORPUS

TIMINGS = {"seconds", "texts_per_second", "latency_ms", "cached"}


@pytest.fixture
def model(exported_tiny_model, tmp_path) -> Path:
    return shutil.copytree(exported_tiny_model, tmp_path / "served")


@pytest.fixture
def data(beir_folder, tmp_path) -> Path:
    return beir_folder(tmp_path / "data")


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


evaluate = partial(evaluate_model, bm25=False)


def change_a_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


def test_the_second_run_reads_what_the_first_wrote_and_scores_the_same(model, data, cache) -> None:
    first = evaluate(model, data, cache=cache)
    second = evaluate(model, data, cache=cache)
    assert (first.cached, second.cached) == (False, True)
    assert first.model_dump(exclude=TIMINGS) == second.model_dump(exclude=TIMINGS)
    assert first.texts_per_second == second.texts_per_second


def test_one_byte_of_the_model_is_another_entry(model, data, cache) -> None:
    evaluate(model, data, cache=cache)
    change_a_byte(model / WEIGHTS, 1000)
    with pytest.raises(ModelError, match="is damaged"):
        evaluate(model, data, cache=cache)
    config = EncoderConfig.of(model)
    files = {**config.files, WEIGHTS: file_sha256(model / WEIGHTS)}
    config.model_copy(update={"files": files}).write(model / ENCODER_CONFIG)
    assert not evaluate(model, data, cache=cache).cached
    assert len(entries(cache)) == 2


@pytest.mark.parametrize("part", ["corpus", "queries", "qrels"])
def test_one_byte_of_the_data_is_another_entry(model, data, cache, part) -> None:
    evaluate(model, data, cache=cache)
    path = data / "qrels" / "test.tsv" if part == "qrels" else data / f"{part}.jsonl"
    text = path.read_text()
    before, after = {"corpus": ("nodes", "nades"), "queries": ("numbers", "nunbers"), "qrels": ("p1\t2", "p1\t3")}[part]
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    assert not evaluate(model, data, cache=cache).cached
    assert len(entries(cache)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"max_seq_length": 31}, {"document_prompt": "d"}, {"query_prompt": "q"}, {"normalized": False},
        {"similarity": "dot"}, {"pad_token_id": 1},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_one_setting_of_the_encoder_is_another_entry(model, data, cache, change) -> None:
    evaluate(model, data, cache=cache)
    EncoderConfig.of(model).model_copy(update=change).write(model / ENCODER_CONFIG)
    assert not evaluate(model, data, cache=cache).cached
    assert len(entries(cache)) == 2


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("corpus.npy", "a byte"), ("queries.npy", "a byte"), ("ids.json", "a byte"), ("encodings.json", "a byte"),
        ("corpus.npy", "half"), ("encodings.json", "half"), ("queries.npy", "gone"), ("encodings.json", "gone"),
    ],
)  # fmt: skip
def test_a_damaged_entry_is_made_again(model, data, cache, name, damage) -> None:
    first = evaluate(model, data, cache=cache)
    [entry] = entries(cache)
    content = (entry / name).read_bytes()
    if damage == "a byte":
        change_a_byte(entry / name, len(content) // 2)
    elif damage == "half":
        (entry / name).write_bytes(content[: len(content) // 2])
    else:
        (entry / name).unlink()
    again = evaluate(model, data, cache=cache)
    assert not again.cached
    assert again.model_dump(exclude=TIMINGS) == first.model_dump(exclude=TIMINGS)
    assert evaluate(model, data, cache=cache).cached


def test_an_entry_under_the_name_of_another_is_not_taken_for_it(model, data, cache, beir_folder, tmp_path) -> None:
    evaluate(model, data, cache=cache)
    other = beir_folder(tmp_path / "other", corpus={**CORPUS, "p7": "one more"})
    evaluate(model, other, cache=cache)
    first, second = entries(cache)
    shutil.rmtree(first)
    second.rename(first)
    assert [evaluate(model, folder, cache=cache).cached for folder in (data, other)] == [False, False]


def test_the_same_data_in_another_order_is_found_with_the_right_ids(model, data, cache, beir_folder, tmp_path) -> None:
    first = evaluate(model, data, cache=cache)
    turned = beir_folder(tmp_path / "turned", corpus=dict(reversed(CORPUS.items())))
    second = evaluate(model, turned, cache=cache)
    assert second.cached
    assert second.per_query == first.per_query and second.top == first.top


def test_the_embeddings_come_back_bit_for_bit(model, tmp_path) -> None:
    cache = EncodingCache(tmp_path / "cache")
    encoder = Encoder.open(model)
    vectors = encoder.encode_documents(list(CORPUS.values()))
    writer = cache.writer(len(CORPUS), encoder.config.dimension)
    writer.add(list(CORPUS)[:4], vectors[:4])
    writer.add(list(CORPUS)[4:], vectors[4:])
    writer.finish(["q"], vectors[:1])
    cache.keep(writer, encoder.config, "digest", 10.0)
    found = cache.find(encoder.config, "digest")
    assert found is not None
    [(ids, block)] = found.corpus()
    assert ids == list(CORPUS) and np.array_equal(block, vectors) and np.array_equal(found.queries, vectors[:1])


def test_nothing_is_left_of_an_evaluation_that_was_cut_short(model, data, cache, monkeypatch) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if phase == "encoding the corpus":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, data, cache=cache, progress=stop)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_costs_nothing_but_time_and_is_said(model, data, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    scores = evaluate(model, data, cache=blocked)
    assert "could not be kept" in " ".join(scores.notes)


def test_the_entries_used_longest_ago_make_room(model, beir_folder, tmp_path) -> None:
    folder = tmp_path / "cache"
    data = [beir_folder(tmp_path / str(place), corpus={**CORPUS, "p7": "x" * (place + 1)}) for place in range(3)]
    for place in (0, 1):
        evaluate(model, data[place], cache=folder)
    size = sum(path.stat().st_size for path in entries(folder)[0].iterdir())
    assert evaluate(model, data[0], cache=folder).cached
    small = EncodingCache(folder, limit_bytes=int(2.5 * size))
    small._make_room(entries(folder)[0])
    assert len(entries(folder)) == 2


def test_what_a_killed_run_left_is_removed_a_day_later(model, data, cache) -> None:
    for name, age in ((".new-old", 25 * 3600), (".new-fresh", 3600)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age,) * 2)
    evaluate(model, data, cache=cache)
    assert [path.name for path in entries(cache) if path.name.startswith(".new-")] == [".new-fresh"]


def test_the_record_of_an_entry_says_what_it_was_made_from(model, data, cache) -> None:
    scores = evaluate(model, data, cache=cache)
    [entry] = entries(cache)
    key = json.loads((entry / "encodings.json").read_text())["key"]
    assert (key["model"], key["dataset"]) == (scores.model_digest, scores.dataset_digest)

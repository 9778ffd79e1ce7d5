"""A base model is measured as it would serve, on dev queries alone, in a process whose death costs no other."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import CORPUS, DEV, QRELS, QUERIES, DatasetManifest
from components.errors import DataError, ModelError
from components.measure.apart import measure_apart
from components.measure.dev_evaluation import write_dev_evaluation
from components.measure.options import MeasureOptions
from components.measure.stage import processor_name, reading_length

QUICK = {"learning_rate": 1e-5, "examples": 64, "precision": "fp32"}


@pytest.fixture(scope="module")
def measured(choosable, skilled):
    """The measurement of the skilled model, made without the files that the gate judges by."""
    folder = shutil.copytree(choosable, choosable.parent / "without-the-test-set")
    for name in (CORPUS, QUERIES, QRELS):
        (folder / name).unlink()
    return measure_apart(folder, MeasureOptions(base_model=str(skilled), **QUICK))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_measure_apart_without_the_test_set_gives_every_number(measured, choosable, skilled):
    found = measured.measured
    assert measured.failure == ""
    assert set(found.trained) == {row["query_id"] for row in pq.read_table(choosable / DEV).to_pylist()}
    assert found.untouched > 0.5 > (found.bm25 or 0), "it knows what words mean, which share no letter"
    assert found.quality == pytest.approx(found.untouched, abs=0.1), "64 examples at a low rate change little"
    assert (found.dimension, found.precision, found.training["examples"]) == (32, "fp32", 64)
    assert min(found.texts_per_second, found.latency_ms, found.model_bytes, found.corpus_size) > 0
    assert found.max_seq_length == DatasetManifest.of(choosable).max_seq_length


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_measure_apart_of_a_larger_model_is_on_the_same_queries(measured, choosable, clumsy):
    found = measure_apart(choosable, MeasureOptions(base_model=str(clumsy), **QUICK)).measured
    assert found.dataset_digest == measured.measured.dataset_digest
    assert found.dimension == 128
    assert found.model_bytes > measured.measured.model_bytes
    assert found.quality < measured.measured.quality


def test_measure_apart_of_damaged_weights_says_what_is_wrong(choosable, damaged, capsys):
    measurement = measure_apart(choosable, MeasureOptions(base_model=str(damaged), **QUICK))
    assert measurement.measured is None
    assert f"{damaged} cannot be opened" in measurement.failure
    assert f"measure: {damaged} is left out: {damaged} cannot be opened" in capsys.readouterr().err


def test_measure_apart_whose_process_is_killed_gives_the_reason(choosable, skilled):
    killer = threading.Thread(target=_kill_worker)
    killer.start()
    measurement = measure_apart(choosable, MeasureOptions(base_model=str(skilled), **QUICK))
    killer.join()
    assert "killed (SIGKILL), most often because memory ran out" in measurement.failure


def _kill_worker() -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if "components.measure.worker" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)
                return
        time.sleep(0.05)


def test_write_dev_evaluation_judges_the_positives_of_dev_alone(choosable, tmp_path):
    write_dev_evaluation(choosable, tmp_path)
    opened = open_evaluation_set(tmp_path)
    rows = pq.read_table(choosable / DEV).to_pylist()
    assert opened.queries == {row["query_id"]: row["query"] for row in rows}
    texts = opened.texts([passage for judged in opened.qrels.values() for passage in judged])
    found = {(query, texts[passage]) for query, judged in opened.qrels.items() for passage in judged}
    assert found == {(row["query_id"], row["positive"]) for row in rows}


def test_write_dev_evaluation_without_a_dev_query_is_an_error(choosable, tmp_path):
    folder = shutil.copytree(choosable, tmp_path / "dataset")
    pq.write_table(pq.read_table(folder / DEV).slice(0, 0), folder / DEV)
    (tmp_path / "dev").mkdir()
    with pytest.raises(DataError, match=r"dev\.parquet is empty"):
        write_dev_evaluation(folder, tmp_path / "dev")


def test_reading_length_is_what_prepare_chose_with_the_same_model(choosable, tiny_model):
    assert reading_length(choosable, tiny_model) == DatasetManifest.of(choosable).max_seq_length


def test_reading_length_that_was_asked_for_stands(choosable, tiny_model, tmp_path):
    folder = shutil.copytree(choosable, tmp_path / "dataset")
    manifest = DatasetManifest.of(folder)
    manifest.settings["max_seq_length"] = 24
    manifest.write(folder / "manifest.json")
    assert reading_length(folder, tiny_model) == 24


def test_reading_length_beyond_the_positions_of_a_model_is_an_error(choosable, tiny_model, tmp_path):
    folder = shutil.copytree(choosable, tmp_path / "dataset")
    manifest = DatasetManifest.of(folder)
    manifest.settings["max_seq_length"] = 512
    manifest.write(folder / "manifest.json")
    with pytest.raises(ModelError, match="max_seq_length 512 is more than the 64 positions"):
        reading_length(folder, tiny_model)


def test_processor_name_is_the_systems_or_the_architecture(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Quick CPU @ 3 GHz\n")
    assert processor_name(tmp_path / "cpuinfo") == "Quick CPU @ 3 GHz"
    assert processor_name(tmp_path / "nothing") != ""

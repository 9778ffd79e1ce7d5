"""Threads come from what the container may use, not from what the host has."""

import os

import pytest

from components.machine.processor import available_cpus, limit_threads

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, ALL),
        ({"cpu.max": "max 100000"}, ALL),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, ALL),
        ({"cpu.max": "nonsense"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
    ids=[
        "no cgroup",
        "no limit",
        "one CPU",
        "half a CPU",
        "more than there are",
        "unreadable",
        "v1, no limit",
        "v1, one",
    ],
)
def test_the_quota_bounds_the_threads(tmp_path, files, cpus):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(
    ("request_", "cpus"),
    [("", 64), ("0.2", 1), ("0.5", 2), ("2", 8), ("100", 64)],
    ids=["no request", "a fifth", "a half", "two", "more than there are"],
)
def test_available_cpus_without_a_limit_are_four_of_the_request(tmp_path, monkeypatch, request_, cpus):
    monkeypatch.setattr("components.machine.processor._affinity", lambda: 64)
    monkeypatch.setenv("RANKLIFT_CPU_REQUEST", request_)
    assert available_cpus(tmp_path) == cpus


def test_limit_threads_tells_libraries_what_they_cannot_know_and_keeps_what_is_set(monkeypatch):
    monkeypatch.setattr("components.machine.processor._affinity", lambda: 64)
    monkeypatch.setenv("RANKLIFT_CPU_REQUEST", "0.5")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("RAYON_NUM_THREADS", "")
    monkeypatch.delenv("RAYON_NUM_THREADS")
    limit_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["RAYON_NUM_THREADS"]) == ("7", "2")

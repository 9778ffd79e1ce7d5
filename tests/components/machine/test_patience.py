"""What is away is waited for, as long as a stage may wait; what is wrong is told at once."""

import itertools

import pytest

from components.errors import DataError, ModelError, StoreError
from components.machine.patience import further_waits, process_age
from components.model.hub import download_model
from components.object_store.client import ObjectStore
from components.source.fingerprint import fingerprint
from tests.faults.proxy import Fault, Proxy

AWAY, WRONG = Fault(status=503, code="ServiceUnavailable"), Fault(status=403, code="AccessDenied")


@pytest.fixture
def clock(monkeypatch):
    """Sleeping takes no time and moves the clock that the waits are counted with."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("components.machine.patience.time.monotonic", lambda: 1000.0 + sum(slept))
    return slept


def waits_of(clock, *arguments, **named):
    for wait in further_waits(*arguments, **named):
        clock.append(wait)
    return list(clock)


@pytest.mark.parametrize(
    ("patience", "waits"),
    [
        pytest.param(0, [], id="none on a laptop"),
        pytest.param(20, [5, 10], id="ends before the window"),
        pytest.param(130, [5, 10, 20, 30, 30, 30], id="whole seconds, at most 30"),
    ],
)
def test_further_waits_grow_in_whole_seconds_until_the_window_ends(clock, patience, waits):
    assert waits_of(clock, patience) == waits


def test_further_waits_end_a_minute_before_the_pod_is_killed(clock, monkeypatch):
    monkeypatch.setenv("RANKLIFT_STAGE_SECONDS", str(int(process_age()) + 60 + 40))
    assert waits_of(clock, 600) == [5, 10, 20]


def test_further_waits_of_the_environment_are_cut_to_the_callers_limit(clock, monkeypatch):
    monkeypatch.setenv("RANKLIFT_PATIENCE", "600")
    assert waits_of(clock, at_most=15) == [5, 10]


def test_process_age_is_a_time_that_a_test_can_have_run():
    assert 0 < process_age() < 24 * 3600


class TestTheStore:
    @pytest.fixture
    def store(self, object_store):
        with Proxy(object_store.endpoint) as proxy:
            changed = {"endpoint": proxy.endpoint, "bucket": "patience", "attempts": 2, "patience": 60}
            store = ObjectStore(object_store.model_copy(update=changed))
            store.ensure_bucket()
            proxy.calls.clear()
            yield store, proxy

    def test_one_that_is_away_is_asked_again_until_it_answers(self, store, clock, capsys):
        store, proxy = store
        calls = itertools.count(1)
        proxy.plan = lambda call: AWAY if next(calls) <= 4 else None
        assert store.put("key", b"content")
        assert store.get("key").content == b"content"
        assert [wait for wait in clock if wait >= 5] == [5, 10, 20]
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 3
        assert "answered HTTP 503" in told[0]
        assert told[0].endswith("Retrying in 5 s.")

    def test_one_that_stays_away_fails_at_the_windows_end_and_says_how_often(self, store, clock):
        store, _ = store
        gone = ObjectStore(store.settings.model_copy(update={"endpoint": "http://127.0.0.1:1"}))
        with pytest.raises(StoreError, match=r"accepts no connection; .*, 5 times\."):
            gone.get("key")
        assert [wait for wait in clock if wait >= 5] == [5, 10, 20]

    def test_one_that_refuses_is_asked_once(self, store, clock):
        store, proxy = store
        proxy.plan = lambda call: WRONG
        with pytest.raises(StoreError, match="AccessDenied"):
            store.get("key")
        assert (len(proxy.calls), sum(clock)) == (1, 0)


class TestTheHub:
    @pytest.mark.parametrize(
        ("status", "waits"),
        [pytest.param(503, [5, 10, 20], id="away"), pytest.param(404, [], id="no such model")],
    )
    def test_it_is_asked_again_only_when_it_is_away(self, hub, clock, monkeypatch, status, waits):
        monkeypatch.setenv("RANKLIFT_PATIENCE", "40")
        hub.refuse = status
        with pytest.raises(ModelError, match=f"does not give acme/model .*{status}"):
            download_model("acme/model")
        assert [wait for wait in clock if wait >= 5] == waits

    def test_fingerprint_of_data_on_a_hub_that_comes_back_is_the_one_it_had(self, hub, monkeypatch, capsys):
        hub.files["datasets/acme/clicks"] = {"data.csv": b"x"}
        before = fingerprint("hf://datasets/acme/clicks")
        monkeypatch.setenv("RANKLIFT_PATIENCE", "40")
        hub.refuse = 503
        monkeypatch.setattr("components.model.hub.time.sleep", lambda _: setattr(hub, "refuse", 0))
        assert fingerprint("hf://datasets/acme/clicks") == before
        assert "Retrying in 5 s." in capsys.readouterr().err

    def test_fingerprint_of_data_that_the_hub_does_not_have_fails_at_once(self, hub, clock, monkeypatch):
        monkeypatch.setenv("RANKLIFT_PATIENCE", "40")
        with pytest.raises(DataError, match="could not be read from the hub"):
            fingerprint("hf://datasets/acme/nothing")
        assert [wait for wait in clock if wait >= 5] == []

    def test_nobody_waits_for_one_that_is_not_needed(self, hub, clock, monkeypatch):
        monkeypatch.setenv("RANKLIFT_PATIENCE", "40")
        hub.refuse = 503
        with pytest.raises(ModelError):
            download_model("acme/model", patient=False)
        assert [wait for wait in clock if wait >= 5] == []

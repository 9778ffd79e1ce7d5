"""An index version goes into a real database, and readers never see a mix or a loss."""

import threading

import numpy as np
import pytest

from components.index.sinks.publish import Bounds, Probes, publish, recall_of
from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink
from tests.components.index.sinks.conftest import Version, opened


def put(sink, version, **options):
    options.setdefault("tell", lambda line: None)
    return publish(sink, version.content, version.passages(), version.probes(), **options)


def what_readers_see(sink):
    """The version that readers see, and the passages that they find with its first query."""
    current = sink.current()
    content = sink.stored()[current]
    return current, sink.count(content)


def test_publish_first_version_is_what_readers_see(sink):
    published = put(sink, Version("V1"))
    assert (published.before, published.filled, published.recall) == (None, True, 1.0)
    assert what_readers_see(sink) == ("V1", 300)


def test_publish_next_version_switches_and_keeps_the_former_for_a_rollback(sink):
    put(sink, Version("V1", seed=1))
    published = put(sink, Version("V2", seed=2, count=200))
    assert published.before == "V1"
    assert what_readers_see(sink) == ("V2", 200)
    assert set(sink.stored()) == {"V1", "V2"}


def test_publish_former_version_again_rolls_back_without_filling(sink):
    first = Version("V1", seed=1)
    put(sink, first)
    put(sink, Version("V2", seed=2))
    published = put(sink, first)
    assert (published.before, published.filled) == ("V2", False)
    assert what_readers_see(sink)[0] == "V1"


def test_publish_third_version_removes_the_first(sink):
    for number in (1, 2, 3):
        put(sink, Version(f"V{number}", seed=number))
    assert set(sink.stored()) == {"V2", "V3"}


def test_publish_version_of_another_dimension_switches(sink):
    put(sink, Version("V1", seed=1))
    put(sink, Version("V2", seed=2, dimension=48))
    assert what_readers_see(sink) == ("V2", 300)


def test_publish_version_without_texts_switches(sink):
    put(sink, Version("V1", texts=False))
    assert what_readers_see(sink) == ("V1", 300)


def test_publish_fewer_passages_than_the_depth_switches(sink):
    put(sink, Version("V1", count=3))
    assert what_readers_see(sink) == ("V1", 3)


def test_publish_with_too_few_passages_switches_nothing(sink):
    put(sink, Version("V1", seed=1))
    second = Version("V2", seed=2)
    with pytest.raises(SinkError, match=r"holds 100 passages of V2 where 300 belong\. .*readers see V1\.$"):
        publish(sink, second.content, [next(second.passages())], second.probes(), tell=lambda line: None)
    assert what_readers_see(sink) == ("V1", 300)


def test_publish_below_the_recall_bound_switches_nothing(sink):
    put(sink, Version("V1", seed=1))
    second, other = Version("V2", seed=2), Version("V2", seed=3)
    with pytest.raises(SinkError, match=r"finds 0\.\d+ of the 10 nearest passages of V2 where 0\.98 is required"):
        publish(
            sink, second.content, second.passages(), Probes(other.vectors[:20], second.probes().exact),
            tell=lambda line: None,
        )  # fmt: skip
    assert what_readers_see(sink) == ("V1", 300)


def test_publish_version_of_another_registry_is_refused(sink):
    put(sink, Version("V1", seed=1))
    with pytest.raises(SinkError, match="has a V1 of another registry"):
        put(sink, Version("V1", seed=2))
    assert what_readers_see(sink) == ("V1", 300)


def test_publish_database_killed_halfway_loses_nothing(database, uri, sink):
    put(sink, Version("V1", seed=1))
    second = Version("V2", seed=2)

    def passages():
        for number, block in enumerate(second.passages()):
            if number == 1:
                database.kill()
            yield block

    with pytest.raises(SinkError, match=r"failed while passages of V2 were put into it: .*readers see V1\.$") as caught:
        publish(sink, second.content, passages(), second.probes(), tell=lambda line: None)
    assert "\n" not in str(caught.value)
    database.start()
    again = opened(uri)
    assert what_readers_see(again) == ("V1", 300)
    assert set(again.stored()) == {"V1"}
    put(again, second)
    assert what_readers_see(again) == ("V2", 300)
    again.close()


@pytest.mark.parametrize("step", ["begin", "finish", "count", "search", "switch"])
def test_publish_database_killed_before_any_step_loses_nothing(database, uri, sink, step, monkeypatch):
    put(sink, Version("V1", seed=1))
    whole = getattr(sink, step)

    def killed(*arguments):
        database.kill()
        return whole(*arguments)

    monkeypatch.setattr(sink, step, killed)
    with pytest.raises(SinkError, match=r"Nothing was switched: readers see V1\.$"):
        put(sink, Version("V2", seed=2))
    database.start()
    again = opened(uri)
    assert what_readers_see(again) == ("V1", 300)
    put(again, Version("V2", seed=2))
    assert what_readers_see(again) == ("V2", 300)
    again.close()


def test_publish_while_readers_ask_shows_them_one_version_at_a_time(sink, uri):
    versions = [Version(f"V{number}", seed=number) for number in (1, 2, 3)]
    put(sink, versions[0])
    seen, asked, stop = [], threading.Event(), threading.Event()

    def read():
        reader = open_sink(uri)
        while not stop.is_set():
            seen.append(versions_in_one_answer(reader))
            asked.set()
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    assert asked.wait(60)
    for version in versions[1:]:
        put(sink, version)
    stop.set()
    thread.join()
    assert all(len(answer) == 1 for answer in seen)
    assert seen[0] == {"V1"}


def versions_in_one_answer(reader):
    """The versions of the rows that one question under the readers' name finds."""
    query = np.ones(24, dtype=np.float32)
    if hasattr(reader, "_client"):
        hits = reader._client.search(reader._name, [query], limit=10, output_fields=["index_version"])[0]
        return {hit["entity"]["index_version"] for hit in hits}
    rows = reader._connection.execute(
        f"SELECT index_version, id FROM {reader._name} ORDER BY embedding <#> '{query.tolist()}' LIMIT 10"
    ).fetchall()
    return {version for version, _ in rows} | {name.rpartition(" ")[2] for _, name in rows}


def test_publish_with_an_approximate_index_reaches_the_bound(uri):
    with_index = open_sink(uri + "&ef_search=200")
    with_index._exact_below = 100
    published = put(with_index, Version("V1", count=3000), bounds=Bounds(least_recall=0.9))
    assert published.recall >= 0.9
    with_index.close()


@pytest.mark.parametrize(
    ("found", "exact", "recall"),
    [
        pytest.param([[("a", 1.0), ("b", 0.5)]], [[("a", 1.0), ("b", 0.5)]], 1.0, id="all"),
        pytest.param([[("a", 1.0), ("c", 0.1)]], [[("a", 1.0), ("b", 0.5)]], 0.5, id="one-of-two"),
        pytest.param([[("a", 1.0), ("c", 0.5)]], [[("a", 1.0), ("b", 0.5)]], 1.0, id="a-tie-at-the-cut"),
        pytest.param([[]], [[("a", 1.0)]], 0.0, id="nothing"),
        pytest.param([[]], [[]], 1.0, id="nothing-to-find"),
    ],
)
def test_recall_of_hits_counts_what_was_to_be_found(found, exact, recall):
    assert recall_of(found, exact, 10) == recall

"""What is PostgreSQL's own: grants and views of others survive a switch, and nothing foreign is touched."""

import psycopg
import pytest

from components.index.sinks import pgvector
from components.index.sinks.publish import publish
from components.index.sinks.sink import SinkError
from components.index.sinks.uri import open_sink
from tests.components.index.sinks.conftest import Version


@pytest.fixture
def database(postgres_server):
    if postgres_server.process.poll() is not None:
        postgres_server.start()
    return postgres_server


@pytest.fixture
def sql(database):
    with psycopg.connect(database.uri, autocommit=True) as connection:
        yield connection


def put(sink, version):
    return publish(sink, version.content, version.passages(), version.probes(), tell=lambda line: None)


def test_publish_keeps_grants_and_views_of_others(sink, sql):
    put(sink, Version("V1", seed=1))
    name = sink._name
    sql.execute(f"CREATE ROLE r_{name}")
    sql.execute(f"GRANT SELECT ON {name} TO r_{name}")
    sql.execute(f"CREATE VIEW v_{name} AS SELECT id, index_version FROM {name}")
    put(sink, Version("V2", seed=2, dimension=12))
    assert sql.execute(f"SELECT DISTINCT index_version FROM v_{name}").fetchall() == [("V2",)]
    sql.execute(f"SET ROLE r_{name}")
    assert sql.execute(f"SELECT DISTINCT index_version, model_version FROM {name}").fetchall() == [("V2", "V2")]


def test_publish_beside_a_prepared_statement_switches_it_too(sink, sql):
    put(sink, Version("V1", seed=1))
    ask = f"SELECT DISTINCT index_version FROM {sink._name}"
    assert sql.execute(ask, prepare=True).fetchall() == [("V1",)]
    put(sink, Version("V2", seed=2))
    assert sql.execute(ask, prepare=True).fetchall() == [("V2",)]


def test_search_of_readers_uses_the_approximate_index(uri, sql):
    sink = open_sink(uri)
    sink._exact_below = 100
    put(sink, Version("V1", count=2000))
    vector = [1.0] * 24
    ask = f"EXPLAIN SELECT id FROM {sink._name} ORDER BY embedding <#> '{vector}' LIMIT 10"
    plan = "\n".join(line for (line,) in sql.execute(ask).fetchall())
    sink.close()
    assert "Index Scan using" in plan


def test_current_where_a_table_of_somebody_has_the_name_is_refused(sink, sql):
    sql.execute(f"CREATE TABLE {sink._name} (id int)")
    with pytest.raises(SinkError, match="is no view of ranklift's"):
        put(sink, Version("V1"))
    assert sql.execute(f"SELECT count(*) FROM {sink._name}").fetchall() == [(0,)]


def test_publish_while_another_process_fills_the_version_is_refused(sink, uri):
    version = Version("V1")
    sink.begin(version.content)
    other = open_sink(uri)
    with pytest.raises(SinkError, match="Another process fills V1"):
        put(other, version)
    other.close()


def test_switch_while_a_transaction_holds_the_view_gives_up_and_changes_nothing(sink, sql, monkeypatch):
    monkeypatch.setattr(pgvector, "_LOCK_TRIES", 2)
    monkeypatch.setattr(pgvector, "_LOCK_PAUSE", 0.01)
    put(sink, Version("V1", seed=1))
    with sql.transaction():
        sql.execute(f"SELECT 1 FROM {sink._name}")
        with pytest.raises(SinkError, match=r"readers were switched to V2: .*lock timeout.*readers see V1"):
            put(sink, Version("V2", seed=2))
    assert sink.current() == "V1"
    put(sink, Version("V2", seed=2))
    assert sink.current() == "V2"


def test_publish_without_pgvector_says_who_installs_it(database, sql):
    sql.execute("CREATE DATABASE bare")
    sql.execute("CREATE ROLE plain LOGIN")
    with pytest.raises(SinkError, match="an administrator installs it and runs `CREATE EXTENSION vector`"):
        open_sink(database.uri.replace("postgres@/postgres", "plain@/bare"))


def test_add_text_with_a_nul_keeps_the_rest(sink, sql):
    version = Version("V1", count=3)
    version.texts[1] = "before\0after"
    put(sink, version)
    rows = sql.execute(f"SELECT text FROM {sink._name} WHERE id = %s", [version.ids[1]]).fetchall()
    assert rows == [("before\ufffdafter",)]


def test_add_id_with_a_nul_is_refused(sink):
    version = Version("V1", count=3)
    version.ids[1] = "before\0after"
    with pytest.raises(SinkError, match="A passage id has a NUL character"):
        put(sink, version)
    assert sink.current() is None

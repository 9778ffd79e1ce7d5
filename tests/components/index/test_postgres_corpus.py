"""A corpus in a table of a real PostgreSQL."""

import psycopg
import pytest

from components.errors import DataError
from components.index.sources import check_corpus, corpus_passages
from tests.standins.postgres import postgres


@pytest.fixture(scope="module")
def server():
    with postgres() as server, psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute('CREATE TABLE shop."Passages" (id bigint, title text, text text, price numeric)')
        rows = [(number, "A title" if number % 2 else None, f"text {number}", 1.5) for number in range(12_000)]
        with connection.cursor() as cursor, cursor.copy('COPY shop."Passages" FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute("CREATE TABLE numbers (id bigint, text bigint)")
        connection.execute("INSERT INTO numbers VALUES (1, 2)")
        yield server


def read(server, table):
    return list(corpus_passages(f"{server.uri}&table={table}", None, None))


def test_table_is_read_whole_by_the_names_of_its_columns(server):
    passages = read(server, "shop.Passages")
    assert len(passages) == 12_000
    assert (passages[0].passage_id, passages[0].text) == ("0", "text 0")
    assert (passages[1].passage_id, passages[1].text) == ("1", "A title text 1")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        pytest.param("nothing", "table nothing could not be read to its end: relation", id="no table"),
        pytest.param("numbers", "table numbers, row 1, column 'text' is 2; a passage is a text", id="no text"),
        pytest.param("x;DROP TABLE numbers", "could not be read to its end: relation", id="more than a name"),
    ],
)
def test_table_that_cannot_be_used_is_refused(server, table, sentence):
    with pytest.raises(DataError, match=sentence):
        read(server, table)


def test_database_that_does_not_answer_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="table passages could not be read to its end: connection"):
        list(corpus_passages(f"postgresql:///x?host={tmp_path}&table=passages", None, tmp_path))


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("postgresql://host/db", "names no table of the database; write postgresql://", id="no table"),
        pytest.param("postgresql://user:secret@host/db?table=x", "has a password in it; give it with", id="password"),
        pytest.param("postgresql://host:port/db?table=x", "is not one of PostgreSQL", id="no port"),
    ],
)
def test_uri_of_a_table_is_checked_before_the_first_stage(uri, sentence):
    with pytest.raises(DataError, match=sentence) as refused:
        check_corpus(uri)
    assert "secret" not in str(refused.value)

"""What raw triplets must satisfy: each rule is one statement that finds the rows to drop, counted and with examples.

Rules work on narrow keys, not on texts: ``keys(row, id, q, p, n, longest, empty, draw, ticket)``. ``id``, ``q``, ``p``
and ``n`` are hashes of the query_id and of the normalised texts, used for equality alone. ``draw`` and ``ticket`` are
seeded numbers that depend on the row's content (on the query alone for ``ticket``) and on nothing else, so that neither
the order of rows nor DuckDB's version changes who is chosen.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from components.dataset.manifest import Rule
from components.errors import DataError
from components.prepare.database import Database, count, literal

EXAMPLES = 3
EXAMPLE_CHARACTERS = 160


class Criterion(NamedTuple):
    """A rule: its name, what it drops, and the statement that returns the rows to drop.

    What the statement returns beside ``row`` says why a row is dropped, and stands in the examples.
    """

    name: str
    description: str
    statement: str


def make_keys(database: Database, seed: int) -> None:
    """Make the table ``keys`` of the rows in ``raw``, and the SQL functions that all rules share."""
    # Most texts need no rewriting of white space, and looking is sixty times as fast as rewriting.
    database.execute(
        r"""
        CREATE MACRO tidy(t) AS CASE WHEN regexp_matches(t, '\s\s|[^\S ]|^\s|\s$')
            THEN trim(regexp_replace(t, '\s+', ' ', 'g')) ELSE t END;
        CREATE MACRO normal(t) AS tidy(lower(nfc_normalize(t)));
        CREATE MACRO seeded(t) AS md5_number_lower(concat({seed}, t));
        """.replace("{seed}", literal(f"{seed}:"))
    )
    database.execute(
        """
        CREATE TABLE keys AS SELECT
            row, hash(query_id) AS id,
            hash(normal(query)) AS q, hash(normal(positive)) AS p, hash(normal(negative)) AS n,
            greatest(length(query), length(positive), length(negative)) AS longest,
            coalesce('' IN (trim(query_id), tidy(query), tidy(positive), tidy(negative)), true) AS empty,
            seeded(concat_ws(chr(30), query_id, query, positive, negative)) AS draw,
            seeded(normal(query)) AS ticket
        FROM raw
        """
    )


def add_clusters(database: Database) -> None:
    """Add to ``keys`` the clusters of near duplicates that query and positive belong to: ``qc`` and ``pc``."""
    database.execute(
        """
        CREATE TABLE clustered AS SELECT keys.*, coalesce(aq.cluster, q) AS qc, coalesce(ap.cluster, p) AS pc
        FROM keys LEFT JOIN alike_queries AS aq ON q = aq.h LEFT JOIN alike_positives AS ap ON p = ap.h;
        DROP TABLE keys;
        ALTER TABLE clustered RENAME TO keys;
        """
    )


#: Of pairs whose queries and whose positives are near duplicates, one pair stays, with all of its negatives.
NEAR_DUPLICATE = Criterion(
    "near_duplicate",
    "query and positive are near duplicates of those in another row",
    """
    SELECT row FROM keys JOIN (
        SELECT qc, pc, arg_min(q, draw) AS kept_q, arg_min(p, draw) AS kept_p FROM keys
        GROUP BY qc, pc HAVING min(q) != max(q) OR min(p) != max(p)
    ) USING (qc, pc) WHERE q != kept_q OR p != kept_p
    """,
)


def row_criteria(max_characters: int) -> list[Criterion]:
    """Return the rules that hold for any use of the data, in the order in which they are applied."""
    return [
        Criterion("empty_text", "query_id, query, positive or negative is empty", "SELECT row FROM keys WHERE empty"),
        Criterion(
            "too_long",
            f"a text is longer than {max_characters} characters",
            f"SELECT row FROM keys WHERE longest > {max_characters}",
        ),
        Criterion(
            "duplicate",
            "the same query, positive and negative stand in another row, letter case and white space aside",
            "SELECT row FROM keys QUALIFY row_number() OVER (PARTITION BY q, p, n ORDER BY draw, row) > 1",
        ),
        Criterion(
            "negative_is_positive",
            "the negative is also a positive of the same query",
            "SELECT row FROM keys SEMI JOIN (SELECT DISTINCT q, p AS n FROM keys) USING (q, n)",
        ),
    ]


def one_triplet_per_query(table: str, limit: int) -> Criterion:
    """Return the rule that keeps at most so many rows of a table for one query_id, chosen by seed."""
    if limit == 1:
        # An aggregate with one number in each group takes far less memory than a window over all rows.
        statement = (
            f"SELECT row FROM {table} ANTI JOIN (SELECT arg_min(row, draw) AS row FROM {table} GROUP BY id) USING (row)"
        )
    else:
        statement = f"SELECT row FROM {table} QUALIFY row_number() OVER (PARTITION BY id ORDER BY draw, row) > {limit}"
    return Criterion("triplets_per_query", f"more than {limit} triplet for one query_id", statement)


def one_row_per_positive(table: str) -> Criterion:
    """Return the rule that keeps one row of a table for each positive of a query_id, chosen by seed."""
    kept = f"SELECT arg_min(row, draw) AS row FROM {table} GROUP BY id, p"
    return Criterion(
        "rows_per_positive",
        "more than 1 row for a positive of a query",
        f"SELECT row FROM {table} ANTI JOIN ({kept}) USING (row)",
    )


def sample(table: str, limit: int) -> Criterion:
    """Return the rule that keeps at most so many rows of a table, chosen by seed."""
    statement = f"SELECT row FROM {table} ORDER BY draw, row OFFSET {limit}"
    return Criterion("max_triplets", f"beyond {limit} training triplets", statement)


def apply_criteria(database: Database, table: str, criteria: Iterable[Criterion]) -> list[Rule]:
    """Delete from a table of keys what each rule in turn finds, and say what that was."""
    return [_apply(database, table, criterion) for criterion in criteria]


def check_ids(database: Database, files: Sequence[Any]) -> None:
    """Refuse a query_id that stands for two different queries.

    Raises:
        DataError: naming file and line of the second.
    """
    found = database.execute(
        "SELECT max(row) FROM keys WHERE NOT empty GROUP BY id HAVING min(q) != max(q) ORDER BY 1 LIMIT 1"
    ).fetchone()
    if found is None:
        return
    line, file, query_id, query = database.execute(
        "SELECT line, file, query_id, query FROM raw WHERE row = $row", {"row": found[0]}
    ).fetchall()[0]
    raise DataError(
        f"{files[file]}, line {line}, column 'query_id' is {query_id!r} for the query {query[:80]!r}, and another row "
        "has the same id for another query; give every query its own id."
    )


def count_kept(database: Database, criterion: Criterion) -> Rule:
    """Count what a criterion finds, drop nothing, and say what it was."""
    found = _find(database, criterion)
    return _rule(criterion, kept=found, examples=_examples(database) if found else [])


def _apply(database: Database, table: str, criterion: Criterion) -> Rule:
    dropped = _find(database, criterion)
    examples = _examples(database) if dropped else []
    if dropped:
        database.execute(f"DELETE FROM {table} WHERE row IN (SELECT row FROM doomed)")
    return _rule(criterion, dropped=dropped, examples=examples)


def _find(database: Database, criterion: Criterion) -> int:
    database.execute(f"CREATE OR REPLACE TEMP TABLE doomed AS {criterion.statement}")
    return count(database, "doomed")


def _rule(criterion: Criterion, *, examples: list[dict[str, Any]], dropped: int = 0, kept: int = 0) -> Rule:
    return Rule(name=criterion.name, description=criterion.description, dropped=dropped, kept=kept, examples=examples)


def _examples(database: Database) -> list[dict[str, Any]]:
    reasons = [row[0] for row in database.execute("DESCRIBE doomed").fetchall() if row[0] != "row"]
    columns = ("query_id", "query", "positive", "negative", *reasons)
    listed = ", ".join(f"left({column}, {EXAMPLE_CHARACTERS})" for column in columns)
    rows = database.execute(
        f"SELECT {listed} FROM raw JOIN (SELECT * FROM doomed ORDER BY row LIMIT {EXAMPLES}) USING (row) ORDER BY row"
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in rows]

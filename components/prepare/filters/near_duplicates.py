"""Near duplicates: texts that share most of their words, found by MinHash and banding, verified one by one.

A pair that differs in nothing but a few words is a near duplicate; a pair that differs in a number is not ("sales in
2023", "sales in 2024"). MinHash: Broder, "On the resemblance and containment of documents" (1997); banding: chapter 3
of Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets". Only signatures are kept, eight numbers for each text.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.prepare.database import Database, count

# Eight bands of four: a pair with 0.8 of its words in common is a candidate with probability 0.985, with 0.9 always.
BANDS = 8
ROWS_IN_A_BAND = 4
_BATCH = 50_000
# Quotation marks, dashes and full-width signs are written by code point: many look like another character.
_PUNCTUATION = ".,;:!?()[]{}<>\"'`_/\\|*#~^=+&%$@-" + "".join(
    map(
        chr,
        (
            0xB4,
            0xAB,
            0xBB,
            0x2013,
            0x2014,
            0x2018,
            0x2019,
            0x201C,
            0x201D,
            0x2026,
            0x3001,
            0x3002,
            0xFF01,
            0xFF0C,
            0xFF1F,
        ),
    )
)
_SEED = 1


def define_words(database: Database) -> None:
    """Make the SQL functions `words(t)`, hashes of the distinct words in a normalised text, and `numbers(t)`."""
    source = _PUNCTUATION.replace("'", "''")
    database.execute(
        f"""
        CREATE MACRO word_hashes(t) AS list_transform(
            list_filter(string_split(translate(t, '{source}', '{" " * len(_PUNCTUATION)}'), ' '), lambda w: w != ''),
            lambda w: hash(w));
        CREATE MACRO words(t) AS list_distinct(word_hashes(t));
        CREATE MACRO numbers(t) AS
            if(regexp_matches(t, '[0-9]'), hash(list_sort(regexp_extract_all(t, '[0-9]+'))), 0::UBIGINT);
        """
    )


def find_alike(database: Database, texts: str, table: str, threshold: float) -> None:
    """Make a table ``(h, cluster)`` of the texts that have a near duplicate; near duplicates share a cluster.

    Args:
        database: the working database; `define_words` was called on it.
        texts: a query that returns ``h``, distinct, and the normalised ``text`` it stands for.
        table: the table to make.
        threshold: Jaccard similarity of the sets of words, above 0; with 0 the table stays empty.
    """
    database.execute(f"CREATE TABLE {table} (h UBIGINT, cluster UBIGINT)")
    if threshold <= 0:
        return
    bands = ", ".join(f"b{band} UBIGINT" for band in range(BANDS))
    database.execute(f"CREATE OR REPLACE TEMP TABLE signatures (h UBIGINT, {bands})")
    for batch in _signatures(database, texts):
        database.register("batch", batch)
        database.execute("INSERT INTO signatures SELECT * FROM batch")
        database.unregister("batch")
    _collect_candidates(database)
    _keep_verified(database, texts, threshold)
    _join_clusters(database, table)


def _signatures(database: Database, texts: str) -> Iterator[pa.Table]:
    from rensa import RMinHash  # type: ignore[attr-defined] # a Rust extension without stubs

    reader = database.cursor().sql(
        "SELECT * FROM (SELECT h, numbers(text) AS numbers, word_hashes(text) AS words "
        f"FROM ({texts})) WHERE len(words) > 0"
    )
    for batch in reader.to_arrow_reader(_BATCH):
        words = batch.column("words")
        offsets = words.offsets.to_numpy().astype(np.uint64)
        tokens = words.values.to_numpy(zero_copy_only=False)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            np.ascontiguousarray(tokens[int(offsets[0]) : int(offsets[-1])]),
            offsets - offsets[0],
            BANDS * ROWS_IN_A_BAND,
            _SEED,
        )
        rows = np.array(matrix.to_rows(), dtype=np.uint64)
        yield pa.table({"h": batch.column("h"), **_band_keys(rows, batch.column("numbers").to_numpy())})


def _band_keys(rows: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> dict[str, NDArray[np.uint64]]:
    """One key for each band, mixed with the numbers in the text: texts with other numbers never meet."""
    keys = {}
    for band in range(BANDS):
        key = numbers.astype(np.uint64)
        for column in range(band * ROWS_IN_A_BAND, (band + 1) * ROWS_IN_A_BAND):
            key = (key ^ rows[:, column]) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        keys[f"b{band}"] = key
    return keys


def _collect_candidates(database: Database) -> None:
    """Each text beside two of those that it shares a band with: two pairs a text and band, not all pairs.

    One is the smallest of them. The other, where more than two meet, is the one before it when they are sorted by their
    other bands: among many texts of one pattern the smallest is a stranger, and a near duplicate is next in line.
    """
    database.execute("CREATE OR REPLACE TEMP TABLE candidates (h UBIGINT, other UBIGINT)")
    for band in range(BANDS):
        database.execute(
            f"""
            INSERT INTO candidates
            SELECT h, other FROM signatures JOIN (
                SELECT b{band}, min(h) AS other FROM signatures GROUP BY b{band} HAVING count(*) > 1
            ) USING (b{band}) WHERE h != other
            """
        )
        following = ", ".join(f"b{(band + step) % BANDS}" for step in range(1, BANDS))
        database.execute(
            f"""
            INSERT INTO candidates
            SELECT h, other FROM (
                SELECT h, lag(h) OVER (PARTITION BY b{band} ORDER BY {following}, h) AS other FROM signatures
                SEMI JOIN (SELECT b{band} FROM signatures GROUP BY b{band} HAVING count(*) > 2) USING (b{band})
            ) WHERE other IS NOT NULL
            """
        )


def _keep_verified(database: Database, texts: str, threshold: float) -> None:
    """``pairs``: the candidates that do share enough of their words; texts are read again for candidates alone."""
    database.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE candidates AS SELECT DISTINCT h, other FROM candidates;
        CREATE OR REPLACE TEMP TABLE involved AS
            SELECT h, text FROM ({texts}) WHERE h IN (SELECT h FROM candidates UNION SELECT other FROM candidates);
        CREATE OR REPLACE TEMP TABLE involved AS
            SELECT h, words(text) AS words, numbers(text) AS numbers FROM involved;
        CREATE OR REPLACE TEMP TABLE pairs AS
            SELECT h, other FROM (
                SELECT p.h, p.other, a.words, b.words AS others, len(list_intersect(a.words, b.words)) AS shared
                FROM candidates p JOIN involved a ON a.h = p.h JOIN involved b ON b.h = p.other
                WHERE a.numbers = b.numbers
            ) WHERE shared >= {threshold} * (len(words) + len(others) - shared);
        """
    )


def _join_clusters(database: Database, table: str) -> None:
    if count(database, "pairs") == 0:
        return
    found = database.execute("SELECT h, other FROM pairs").fetchnumpy()
    nodes, places = np.unique(np.concatenate([found["h"], found["other"]]), return_inverse=True)
    left, right = np.split(places, 2)
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(nodes), len(nodes)))
    labels: NDArray[np.int32] = connected_components(edges, directed=False)[1]
    smallest = np.full(labels.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, labels, nodes)
    clusters: dict[str, Any] = {"h": nodes, "cluster": smallest[labels]}
    database.register("found", pa.table(clusters))
    database.execute(f"INSERT INTO {table} SELECT * FROM found")
    database.unregister("found")

"""`prepare`: from a URI to a dataset version."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from components.dataset.evaluation_set import open_evaluation_set
from components.dataset.manifest import (
    DATA_FILES,
    DEV,
    DEV_CORPUS,
    FOLDS,
    GENERATED,
    MANIFEST,
    PAIRS,
    PROFILE,
    QUERIES,
    TRAIN,
    DatasetManifest,
    Percentiles,
    Rule,
    Triplet,
)
from components.errors import DataError
from components.machine.digest import tree_sha256
from components.machine.new_folder import is_free, move_whole
from components.machine.scratch_folder import scratch_folder
from components.model.base import base_model_directory, resolve_base_model
from components.model.generator import generator_directory
from components.prepare.corpus_pairs import write_corpus_pairs
from components.prepare.database import (
    Database,
    content_sha256,
    count,
    file_literal,
    scalar,
    scratch_database,
    write_parquet,
)
from components.prepare.filters.language import check_languages, find_foreign
from components.prepare.filters.near_duplicates import define_words, find_alike
from components.prepare.filters.published_leaks import remember_sides, remove_published_leaks
from components.prepare.filters.rules import (
    NEAR_DUPLICATE,
    add_clusters,
    apply_criteria,
    check_ids,
    make_keys,
    row_criteria,
)
from components.prepare.generated import create_generated, generate
from components.prepare.options import DEMO_SOURCE, PrepareOptions
from components.prepare.profile.base_encoder import base_encoders
from components.prepare.profile.data import profile_data
from components.prepare.profile.false_negatives import find_false_negatives
from components.prepare.profile.lengths import (
    SAMPLE,
    check_length,
    chosen_length,
    length_limit,
    percentiles,
    token_lengths,
)
from components.prepare.profile.page import write_profile
from components.prepare.raw.data import RawData, load, local_data
from components.prepare.raw.sources import fetch
from components.prepare.split.dev_corpus import write_dev_corpus
from components.prepare.split.given import write_evaluation_set
from components.prepare.split.sides import divide, leaks_found, may_share_passages
from components.stage import tell

__all__ = ["PrepareOptions", "prepare"]


def prepare(source: str, output: Path, options: PrepareOptions | None = None) -> DatasetManifest:
    """Make a dataset version of raw data.

    Args:
        source: a path (a file, a folder of shards, a BEIR folder), ``s3://…``, ``hf://datasets/…`` or
            ``demo://docstrings``.
        output: the folder to make; it appears when all of it is there, and not before.
        options: see `PrepareOptions`.

    Returns:
        The manifest that was written.

    Raises:
        DataError: when the raw data cannot be used, or the folder holds something already.
        ModelError: when the base model or the query generator cannot be found, or is none.
    """
    chosen = options or PrepareOptions()
    check_languages(chosen.languages)
    if "://" not in source:
        local_data(source, Path(source).expanduser())  # a path that is wrong is told before the hub is asked
    if chosen.query_generator:
        generator_directory(chosen.query_generator)
    base_model = resolve_base_model(chosen.base_model, partial(tell, "prepare"), fallback=source == DEMO_SOURCE)
    chosen = chosen.model_copy(update={"base_model": base_model})
    check_length(base_model_directory(chosen.base_model), chosen.max_seq_length)
    if not is_free(output):
        raise DataError(f"{output} is not empty; a dataset version is written once and never over: name a new folder.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output.parent, ".ranklift-") as scratch:
        staged = scratch / "dataset"
        staged.mkdir()
        with fetch(source, scratch) as raw, scratch_database(chosen.memory_limit, scratch) as database:
            manifest = _prepare(database, raw, staged, chosen, _evaluation_brought(raw, chosen, scratch))
        move_whole(staged, output)
    return manifest


def _evaluation_brought(raw: RawData, options: PrepareOptions, scratch: Path) -> Path | None:
    """Return the evaluation set that the user brings: named in the options, or a split of the BEIR folder itself."""
    if "://" in options.evaluation_data:
        with fetch(options.evaluation_data, scratch / "evaluation") as evaluation:
            return evaluation.directory
    if options.evaluation_data:
        return Path(options.evaluation_data).expanduser()
    return raw.directory if raw.beir is not None and raw.beir.brings_evaluation(options.evaluation_split) else None


def _prepare(
    database: Database, raw: RawData, staged: Path, options: PrepareOptions, brought: Path | None
) -> DatasetManifest:
    started = time.perf_counter()
    rules = load(database, raw, options, staged)
    if brought is not None:
        rules += write_evaluation_set(brought, options.evaluation_split, staged)
        open_evaluation_set(staged)  # refuses what is broken before anything is compared with it
    rules = _filtered(database, raw, staged, options, rules=rules, is_brought=brought is not None)
    rules_of_division, folds = divide(database, raw, staged, options, is_brought=brought is not None)
    rules += rules_of_division
    create_generated(database)
    generated = None
    if options.query_generator:
        may_share = may_share_passages(raw, options)
        generated = generate(database, raw, staged, options, may_share=may_share, folds=folds)
    write_triplets(database, staged)
    write_dev_corpus(database, staged)
    if folds and raw.beir is not None and raw.beir.corpus.name.startswith("corpus.jsonl"):
        write_corpus_pairs(raw.beir.corpus, _asked(database, staged), options.seed, staged)
    leaks = leaks_found(database, raw, staged, options, is_brought=brought is not None, folds=folds)
    _tell_of_shared(leaks)
    triplets = _sample(database)
    lengths = token_lengths(base_model_directory(options.base_model), _columns(triplets))
    measured = {name: percentiles(column) for name, column in lengths.items()}
    manifest = _manifest(database, raw, staged, options=options, rules=[*rules, *leaks], measured=measured, folds=folds)
    manifest.generated = generated
    manifest.false_negatives = _false_negatives(triplets, manifest.max_seq_length, options)
    write_profile(staged / PROFILE, profile_data(database, staged, manifest, lengths, triplets))
    manifest.write(staged / MANIFEST)
    if folds:
        tell(
            "prepare",
            f"{manifest.counts['queries']} judged queries are few: all of them are trained on, and judged by "
            f"cross-validation in {folds} folds (see --folds)",
        )
    counts = ", ".join(f"{number} {name}" for name, number in manifest.counts.items())
    tell("prepare", f"{counts} in {time.perf_counter() - started:.1f} s")
    return manifest


def _filtered(
    database: Database, raw: RawData, staged: Path, options: PrepareOptions, *, rules: list[Rule], is_brought: bool
) -> list[Rule]:
    """Mark the rows that nothing is made of: unusable, foreign, published elsewhere, near duplicates.

    Returns:
        The rules so far, and these.
    """
    rules = list(rules)
    make_keys(database, options.seed)
    remember_sides(database, raw.sides)
    if brings_both := bool(raw.sides) and not is_brought:
        rules += remove_published_leaks(database, "q", options)
    rules += apply_criteria(database, "keys", row_criteria(options.max_characters))
    check_ids(database, raw.files)
    if count(database, "keys") == 0:
        worst = max(rules, key=lambda rule: rule.dropped)
        raise DataError(
            f"{raw.uri} has no usable triplet: {worst.dropped} rows were dropped because {worst.description}."
        )
    rules += apply_criteria(database, "keys", [find_foreign(database, _texts("p", "positive"), options.languages)])
    _cluster(database, staged if is_brought else None, options.near_duplicates)
    if brings_both:
        rules += remove_published_leaks(database, "qc", options)
    rules += apply_criteria(database, "keys", [NEAR_DUPLICATE])
    return rules


def _asked(database: Database, staged: Path) -> list[str]:
    return [row[0] for row in database.execute(f"SELECT query FROM {file_literal(staged / QUERIES)}").fetchall()]


def _tell_of_shared(rules: list[Rule]) -> None:
    for rule in rules:
        if rule.kept:
            tell(
                "prepare",
                f"{rule.kept:,} training triplets were counted and kept: {rule.description} (see --strict-passages)",
            )


def _cluster(database: Database, evaluation: Path | None, threshold: float) -> None:
    """Find near duplicates among queries, those of a set that the user brought included, and among positives."""
    define_words(database)
    queries = _texts("q", "query")
    if evaluation is not None:
        brought = f"SELECT hash(normal(query)) AS h, normal(query) AS text FROM {file_literal(evaluation / QUERIES)}"
        queries = f"SELECT h, any_value(text) AS text FROM ({queries} UNION ALL {brought}) GROUP BY h"
    positives = _texts("p", "positive")
    find_alike(database, queries, "alike_queries", threshold)
    find_alike(database, positives, "alike_positives", threshold)
    add_clusters(database)


def _texts(key: str, column: str) -> str:
    # The row is chosen before its text is read: grouping millions of texts would not fit in memory.
    return (
        f"SELECT h, normal({column}) AS text FROM (SELECT {key} AS h, min(row) AS row FROM keys GROUP BY {key}) "
        "JOIN raw USING (row)"
    )


def write_triplets(database: Database, staged: Path) -> None:
    """Write ``train.parquet`` and ``dev.parquet``, in an order that the seed draws; generated triplets come last."""
    generated = (
        f"UNION ALL SELECT '{GENERATED}' || number, query, positive, negative, true, NULL, number FROM generated"
    )
    for side, name, more in (("train", TRAIN, generated), ("dev", DEV, "")):
        rows = (
            "SELECT query_id, tidy(query) AS query, tidy(positive) AS positive, tidy(negative) AS negative, "
            f"false AS is_generated, draw, row FROM raw JOIN (SELECT row, draw FROM {side}) USING (row) {more}"
        )
        statement = f"SELECT query_id, query, positive, negative FROM ({rows}) ORDER BY is_generated, draw, row"
        write_parquet(database, statement, staged / name)


def _sample(database: Database) -> list[Triplet]:
    """Training triplets drawn by seed: what is measured on texts in Python is measured on these."""
    rows = database.execute(
        "SELECT query_id, tidy(query), tidy(positive), tidy(negative) FROM raw "
        f"JOIN (SELECT row, draw FROM train ORDER BY draw, row LIMIT {SAMPLE}) USING (row) ORDER BY draw, row"
    ).fetchall()
    return [Triplet(*row) for row in rows]


def _false_negatives(triplets: list[Triplet], max_seq_length: int, options: PrepareOptions) -> dict[str, Any] | None:
    if not options.false_negatives:
        return None
    encoders = base_encoders(base_model_directory(options.base_model), max_seq_length)
    scored = triplets[: options.false_negatives]
    return find_false_negatives(scored, encoders.queries, encoders.documents).model_dump()


def _columns(triplets: list[Triplet]) -> dict[str, list[str]]:
    return {
        "query": [triplet.query for triplet in triplets],
        "positive": [triplet.positive for triplet in triplets],
        "negative": [triplet.negative for triplet in triplets],
    }


def _manifest(
    database: Database,
    raw: RawData,
    staged: Path,
    *,
    options: PrepareOptions,
    rules: list[Rule],
    measured: dict[str, Percentiles],
    folds: int,
) -> DatasetManifest:
    limit = length_limit(base_model_directory(options.base_model), options.max_seq_length_cap)
    evaluation_digest = open_evaluation_set(staged).digest
    further = [name for name in (PAIRS, FOLDS) if (staged / name).is_file()]
    digests = {name: content_sha256(database, staged / name) for name in (TRAIN, DEV, DEV_CORPUS, *further)}
    counts = {
        name.removesuffix(".parquet"): scalar(database, f"SELECT count(*) FROM {file_literal(staged / name)}")
        for name in (*DATA_FILES, *(name for name in further if name == PAIRS))
    }
    settings: dict[str, Any] = options.model_dump(mode="json") | raw.facts | {"token_length_sample": SAMPLE}
    return DatasetManifest(
        digest=tree_sha256({**digests, "evaluation": evaluation_digest}),
        evaluation_digest=evaluation_digest,
        source=raw.uri,
        source_digest=raw.digest,
        seed=options.seed,
        base_model=options.base_model,
        max_seq_length=options.max_seq_length or chosen_length(measured, limit),
        folds=folds,
        counts={"raw": count(database, "raw"), **counts},
        token_lengths=measured,
        rules=rules,
        settings=settings,
    )

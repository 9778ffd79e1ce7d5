"""The language of a text, detected only when asked for: py3langid, 97 languages, no model to download."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from components.errors import DataError
from components.prepare.database import Database
from components.prepare.filters.rules import Criterion

_BATCH = 10_000


def find_foreign(database: Database, texts: str, languages: Sequence[str]) -> Criterion:
    """Detect the language of texts, and the rule that drops rows whose positive is in none of `languages`.

    Args:
        database: the working database.
        texts: a query that returns ``h`` and ``text`` of the positives.
        languages: ISO 639-1 codes; with none, nothing is detected and nothing dropped.

    Raises:
        DataError: when a language cannot be detected.
    """
    database.execute("CREATE TEMP TABLE foreign_texts (p UBIGINT)")
    if languages:
        _detect(database, texts, languages)
    return Criterion(
        "language",
        f"the positive is not in {' or '.join(languages) or 'a language that was asked for'}",
        "SELECT row FROM keys SEMI JOIN foreign_texts USING (p)",
    )


def check_languages(languages: Sequence[str]) -> None:
    """Raise a DataError when a language cannot be detected."""
    if languages:
        _identifier(languages)


def _identifier(languages: Sequence[str]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)  # type: ignore[no-untyped-call] # the library is untyped
    unknown = [code for code in languages if code not in identifier.labels]
    if unknown:
        raise DataError(
            f"languages names {unknown[0]!r}, which cannot be detected; use two-letter codes such as en, de or zh: "
            f"{', '.join(sorted(identifier.labels))}."
        )
    return identifier


def _detect(database: Database, texts: str, languages: Sequence[str]) -> None:
    identifier = _identifier(languages)
    wanted = set(languages)
    reader = database.cursor().execute(texts)
    while rows := reader.fetchmany(_BATCH):
        foreign = [key for key, text in rows if identifier.classify(text)[0] not in wanted]
        database.register("found", pa.table({"p": pa.array(foreign, pa.uint64())}))
        database.execute("INSERT INTO foreign_texts SELECT p FROM found")
        database.unregister("found")

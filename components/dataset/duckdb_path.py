"""Paths as DuckDB reads them: it takes ``[``, ``*`` and ``?`` in a file's name for a pattern of many names."""

import re
from pathlib import Path


def exact_path(path: Path) -> str:
    """Return a path whose wildcards stand for themselves, so that ``clicks[1].parquet`` is that file and no other."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path))

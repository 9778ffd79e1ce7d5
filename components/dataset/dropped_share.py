"""How much of what people bring may be dropped: a few rows are normal in published data, more is a misreading."""

from components.errors import DataError

LARGEST_SHARE = 0.05


def refuse_large_share(dropped: int, total: int, noun: str, why: str) -> None:
    """Raise a DataError when more than a twentieth was dropped.

    Args:
        dropped: how many rows.
        total: how many there were.
        noun: what they are and where, such as "rows of raw.jsonl".
        why: the most frequent reason, with a place to look at.
    """
    if dropped > LARGEST_SHARE * total:
        raise DataError(
            f"{dropped:,} of {total:,} {noun} ({dropped / total:.0%}) cannot be used, and at most "
            f"{LARGEST_SHARE:.0%} may be dropped: {why}."
        )

"""Token lengths, measured with the base model's own tokenizer, and the `max_seq_length` that follows from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.dataset.manifest import Percentiles
from components.errors import ModelError
from components.model.base_kind import own_length, positions_in, tokenizer_file

SAMPLE = 5000  # rows; the 99th percentile of a sample this size is off by less than one percentile
_MULTIPLE = 8  # lengths in steps of what vector units like


def token_lengths(model: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Lengths in tokens of the texts in each column, special tokens included, nothing cut off.

    Raises:
        ModelError: when the base model has no fast tokenizer.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file(model)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {
        name: [len(encoding) for encoding in tokenizer.encode_batch_fast(list(column))]
        for name, column in texts.items()
    }


def check_length(model: Path, length: int) -> None:
    """Raise a ModelError when a base model has fewer positions than it shall read tokens, or no fast tokenizer."""
    tokenizer_file(model)
    positions = positions_in(model)
    if positions is not None and length > positions:
        raise ModelError(
            f"max_seq_length {length} is more than the {positions} positions of {model}; use at most that."
        )


def length_limit(model: Path, cap: int) -> int:
    """Return the longest that the data may ask for: a cap, or what the base model reads where that is less."""
    return min(cap, own_length(model) or cap)


def percentiles(lengths: Sequence[int]) -> Percentiles:
    """Return the percentiles that a person looks at; zeros for no text."""
    if not lengths:
        return Percentiles(p50=0, p95=0, p99=0, longest=0)
    p50, p95, p99 = (int(value) for value in np.percentile(lengths, [50, 95, 99], method="higher"))
    return Percentiles(p50=p50, p95=p95, p99=p99, longest=max(lengths))


def chosen_length(lengths: Mapping[str, Percentiles], cap: int) -> int:
    """Return the largest 99th percentile over all columns, up to the next multiple of eight, and at most `cap`."""
    longest = max(length.p99 for length in lengths.values())
    return min(cap, max(_MULTIPLE, -(-longest // _MULTIPLE) * _MULTIPLE))

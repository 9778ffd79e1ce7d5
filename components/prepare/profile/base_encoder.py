"""The untouched base model as a way to compare texts, for the report on false negatives; needs the train extra."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import ModelError
from components.model.base import open_model
from components.prepare.profile.false_negatives import Encode


class Encoders(NamedTuple):
    """How a model embeds queries and documents, vectors of length 1."""

    queries: Encode
    documents: Encode


def base_encoders(model: Path, max_seq_length: int) -> Encoders:
    """Load a base model on the CPU, texts cut at `max_seq_length` tokens.

    Raises:
        ModelError: when sentence-transformers is not installed, or the model cannot be opened.
    """
    try:
        loaded = open_model(model, device="cpu")
    except ImportError as error:
        raise ModelError(
            "The report on false negatives encodes texts with the base model and needs sentence-transformers; "
            "install `ranklift[train]` or set false_negatives to 0."
        ) from error
    loaded.max_seq_length = max_seq_length

    def queries(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(loaded.encode_query(list(texts), normalize_embeddings=True), dtype=np.float32)

    def documents(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(loaded.encode_document(list(texts), normalize_embeddings=True), dtype=np.float32)

    return Encoders(queries, documents)

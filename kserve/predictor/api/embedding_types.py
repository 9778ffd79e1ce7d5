"""Embeddings in the types that Cohere's API names beside float and base64.

``int8`` and ``uint8`` are left out: they need the range of each value over a corpus, which whoever serves a model does
not know, and numbers made with other ranges cannot be compared.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictor.engine.cache import Vector

_LOWEST = 128  # what Cohere and sentence-transformers take away from eight bits to have a signed number


def packed_signs(rows: Sequence[Vector], *, signed: bool) -> list[NDArray[np.int8] | NDArray[np.uint8]]:
    """One bit for each value, 1 where it is above 0, eight to a number and the first one highest.

    Args:
        rows: embeddings of one length; where it is no multiple of 8, the last bits are 0.
        signed: numbers from -128 to 127 (``binary``) in place of 0 to 255 (``ubinary``).
    """
    packed = np.packbits(np.stack(rows) > 0, axis=1)
    return list((packed.astype(np.int16) - _LOWEST).astype(np.int8) if signed else packed)

"""How a query and a document are compared: the one place that `evaluate` and the predictor share."""

import numpy as np

from components.model.encoder import Embeddings
from components.model.served import EncoderConfig


def comparable(embeddings: Embeddings, config: EncoderConfig) -> Embeddings:
    """Embeddings whose inner product is the model's similarity: float32 of the same shape.

    They are scaled to length 1 when the model compares by cosine and its graph does not do that itself.
    """
    if config.similarity == "dot" or config.normalized:
        return embeddings
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: Embeddings = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    return scaled

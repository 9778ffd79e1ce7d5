"""A stream's first inferences, which compile the graph and show that the model works."""

import threading

import numpy as np

from components.errors import ModelError
from components.model.encoder import Encoder, Session

# OpenVINO's binding prepares itself in its first inference, and deadlocks when two threads do that at once: one holds
# the interpreter's lock and waits for the other's static initialisation (seen in 2 of 60 starts, 2026.4).
_ONE_WARMS_UP = threading.Lock()


def warm_session(encoder: Encoder) -> Session:
    """Return a session that has inferred a short batch and a long text: the graph is compiled for a stream by then.

    Raises:
        ModelError: when what it infers are no embeddings.
    """
    with _ONE_WARMS_UP:
        session = encoder.session()
        longest = encoder.config.max_seq_length
        for texts in (["warm up", "a text to warm up with"], [" ".join(["warm"] * longest)]):
            vectors = session.run(encoder.tokenize(texts))
    dimension = encoder.config.dimension
    if vectors.shape != (1, dimension) or not np.isfinite(vectors).all():
        raise ModelError(f"its embeddings are not {dimension} finite numbers each")
    return session

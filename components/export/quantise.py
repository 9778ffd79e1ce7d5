"""int8 by post-training quantisation: weights per channel, activations calibrated on real texts."""

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.model.runtime import import_openvino

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CALIBRATION_TEXTS = 300


def quantise(graph: Any, model: "SentenceTransformer", inputs: Sequence[str], texts: Sequence[str]) -> Any:
    """Quantise a graph with nncf's transformer scheme (SmoothQuant for the activations).

    Args:
        graph: the fp32 OpenVINO graph.
        model: for its tokenizer and length.
        inputs: the names of the graph's inputs.
        texts: calibration texts, from the training split; the first 300 are read.
    """
    import_openvino()  # hides from nncf what it would report with
    import nncf

    def tokens(text: str) -> dict[str, Any]:
        features = model.preprocess([text])
        return {name: features[name].numpy() for name in inputs}

    calibration = nncf.Dataset(list(texts[:_CALIBRATION_TEXTS]), tokens)
    with contextlib.redirect_stdout(io.StringIO()):  # bars, also where there is no terminal
        return nncf.quantize(
            graph,
            calibration,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=min(_CALIBRATION_TEXTS, len(texts)),
        )

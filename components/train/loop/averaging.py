"""The mean of the fine-tuned weights and the base model's, where dev says that it is better.

Fine-tuning on little data forgets; a mean of both models keeps some of either: Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models" (arXiv:2109.01903), and for embedding models Xiao et al. 2023 (arXiv:2311.13534).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Weights = Mapping[str, torch.Tensor]
Measures = dict[str, float]


def weights_of(model: "SentenceTransformer") -> Weights:
    """Return a copy of a model's weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def average(
    model: "SentenceTransformer",
    base: Weights,
    shares: Sequence[float],
    measure: Callable[[], Measures],
    *,
    by: str,
    tuned_measures: Measures,
) -> tuple[float, Measures]:
    """Leave in the model the mean of its weights and the base model's that measures best.

    Where nothing can be measured, see `average_at`.

    Args:
        model: fine-tuned; is changed.
        base: the base model's weights.
        shares: of the fine-tuned weights, between 0 and 1, each tried.
        measure: of the model as it is.
        by: which of the measures counts; the largest share wins a tie.
        tuned_measures: of the fine-tuned model alone, whose share is 1.

    Returns:
        The share that was left in the model, and its measures.
    """
    tuned = weights_of(model)
    measured = {1.0: tuned_measures}
    for share in shares:
        _mix(model, base, tuned, share)
        measured[share] = measure()
    best = max(measured, key=lambda share: (measured[share][by], share))
    _mix(model, base, tuned, best)
    return best, measured[best]


def average_at(model: "SentenceTransformer", base: Weights, share: float) -> None:
    """Leave in the model the mean of its weights and the base model's, with this share of its own."""
    _mix(model, base, weights_of(model), share)


def _mix(model: "SentenceTransformer", base: Weights, tuned: Weights, share: float) -> None:
    if share == 1.0:  # to the bit, which a mean would not be
        model.load_state_dict(tuned)
        return
    model.load_state_dict(
        {
            name: torch.lerp(base[name], tensor, share) if tensor.is_floating_point() else tensor
            for name, tensor in tuned.items()
        }
    )

"""Distillation: what a teacher thinks of a query's passages, learned beside the contrastive loss.

The teacher's scores and the model's similarities each say how a query's positive and its negatives share the
probability of being the answer; the loss is the Kullback-Leibler divergence between the two, as in RocketQAv2 (Ren et
al. 2021, arXiv:2110.07367). It has the weight of the contrastive loss, and reads a negative that is as good an answer
as the positive for what it is.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, stack
from torch.nn import functional

Compare = Callable[[Tensor, Tensor], Tensor]  #: similarities of all pairs, of shape (rows, rows)


def divergence(
    queries: Tensor, passages: Sequence[Tensor], scores: Tensor, *, compare: Compare, scale: float
) -> Tensor:
    """Return how far the model is from its teacher, in nats, as the mean over the queries.

    Args:
        queries: embeddings of shape (rows, dimension).
        passages: the same for the positives, and for the negatives column by column.
        scores: of the teacher, of shape (rows, passages); as they are, without a sigmoid.
        compare: gives the model's similarities.
        scale: by which they are multiplied in the contrastive loss.
    """
    own = [compare(queries, column).diagonal() for column in passages]
    student = functional.log_softmax(scale * stack(own, dim=1).float(), dim=1)
    teacher = functional.log_softmax(scores.float(), dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


def divergence_of_guessing(negatives: int) -> float:
    """Return the divergence of a model to which all texts are the same from a teacher that is sure."""
    return math.log(1 + negatives)

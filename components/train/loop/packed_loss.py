"""MultipleNegativesRankingLoss over texts packed by length: little padding, bounded memory, the same gradient."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from components.train.loop.distillation import divergence

_TOKENS_AT_ONCE = 2048  #: in one forward pass, padding included: fits the caches of a processor, fills its cores
_ACTIVATION_BYTES = 2 << 30  #: kept for the backward pass; what is beyond is computed twice
_FLOATS_PER_TOKEN = 36  #: of activations, for each layer and unit of the hidden size


class LossNotFiniteError(ArithmeticError):
    """The loss is not a number, or infinite."""


class PackedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """The loss of Henderson et al. 2017 (arXiv:1705.00652), encoding all columns of a batch as one heap of texts.

    The library encodes column by column, each padded to its longest text. Here all texts of the batch are sorted by
    length and encoded in packs of about equal length. Only so many activations as fit a budget are
    kept for the backward pass; those of further packs are computed again in it (Chen et al. 2016, arXiv:1604.06174), so
    that batches of any size fit, as with GradCache (Gao et al. 2021, arXiv:2101.06983), but batches that fit anyway pay
    nothing. Embeddings, loss and gradients are those of the library's loss, up to rounding and to what dropout draws.

    Args:
        model: whose first module is a transformer.
        activation_bytes: of activations that are kept.
        **options: of `MultipleNegativesRankingLoss`.
    """

    def __init__(self, model: SentenceTransformer, activation_bytes: int = _ACTIVATION_BYTES, **options: Any) -> None:
        super().__init__(model, **options)
        config: Any = model[0].config
        size = 4 * _FLOATS_PER_TOKEN * int(config.hidden_size) * int(config.num_hidden_layers)
        self._tokens_kept = activation_bytes // size
        self.examples = 0  #: that gradients were computed from, in this process

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Any) -> Tensor:
        """Return the mean loss of a batch: features by column, each of shape (batch, length).

        Where there are labels they are a teacher's scores of the passages, which are learned as well; see `divergence`.

        Raises:
            LossNotFiniteError: when it is not a number, or infinite.
        """
        features = list(sentence_features)
        packs = list(_packs(features))
        # Processes that train together agree in their wrapper's forward pass, once for each batch. A second one would
        # wait for processes that have fewer packs, and one within the backward pass would begin a batch anew.
        embeddings = [_embed(self.model, packs[0].features)]
        inner = self.model.module if isinstance(self.model, DistributedDataParallel) else self.model
        tokens = packs[0].features["input_ids"].numel()
        for pack in packs[1:]:
            tokens += pack.features["input_ids"].numel()
            if tokens > self._tokens_kept and torch.is_grad_enabled():
                embeddings.append(checkpoint(_embed, inner, pack.features, use_reentrant=False))
            else:
                embeddings.append(_embed(inner, pack.features))
        order = torch.cat([pack.rows for pack in packs])
        ordered = torch.cat(embeddings)[torch.argsort(order)]
        counts = [len(column["input_ids"]) for column in features]
        columns = list(torch.split(ordered, counts))
        loss = self.compute_loss_from_embeddings(columns, labels)
        if labels is not None:
            loss = loss + divergence(columns[0], columns[1:], labels, compare=self.similarity_fct, scale=self.scale)
        if not torch.isfinite(loss):
            raise LossNotFiniteError(loss.item())
        self.examples += counts[0]
        return loss


def _embed(model: Any, features: dict[str, Any]) -> Tensor:
    embeddings: Tensor = model(features)["sentence_embedding"]
    return embeddings


class _Pack(NamedTuple):
    """Texts of about equal length, and which rows of the heap they are."""

    rows: Tensor
    features: dict[str, Any]


def _packs(columns: list[dict[str, Any]]) -> Iterator[_Pack]:
    """All texts of a batch, sorted by length, cut into packs; columns with different prompts stay apart."""
    first = 0
    groups: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for column in columns:
        groups.setdefault(int(column.get("prompt_length", 0)), []).append((first, column))
        first += len(column["input_ids"])
    for prompt_length, members in groups.items():
        rows = torch.cat([torch.arange(len(column["input_ids"])) + start for start, column in members])
        heap = _heap([column for _, column in members])
        lengths = heap["attention_mask"].sum(dim=1).cpu()
        order = torch.argsort(lengths, descending=True, stable=True)
        for chosen in _cut(order, lengths):
            longest = int(lengths[chosen[0]])
            features: dict[str, Any] = {name: values[chosen, :longest] for name, values in heap.items()}
            if prompt_length:
                features["prompt_length"] = prompt_length
            yield _Pack(rows[chosen], features)


def _heap(columns: list[dict[str, Any]]) -> dict[str, Tensor]:
    width = max(column["input_ids"].shape[1] for column in columns)
    names = [name for name, values in columns[0].items() if isinstance(values, Tensor) and values.ndim == 2]
    return {
        name: torch.cat([functional.pad(column[name], (0, width - column[name].shape[1])) for column in columns])
        for name in names
    }


def _cut(order: Tensor, lengths: Tensor) -> Iterator[Tensor]:
    """Parts of an order of falling length, each of at most so many tokens with its padding."""
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, _TOKENS_AT_ONCE // longest)
        yield order[start:stop]
        start = stop

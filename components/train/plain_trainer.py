"""sentence-transformers' trainer without its model card, whose statistics take seconds before the start."""

from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from transformers import TrainerCallback


class _NoModelCard(TrainerCallback):
    def __init__(self, default_args_dict: dict[str, Any]) -> None:
        """Take what the library's own callback takes."""


class PlainTrainer(SentenceTransformerTrainer):
    """The library's trainer; models are saved without a card, so none is prepared."""

    model_card_callback_class: Any = _NoModelCard

    def train(self, *arguments: Any, **options: Any) -> Any:
        """As the library's; processes that train together share their gradients here, once for each step."""
        if torch.distributed.is_initialized():
            # Torch's own wrapper counts forward passes, and packs are another number of them in every process. A model
            # that was prepared to be evaluated is not wrapped.
            self.accelerator.prepare_model(self.model, evaluation_mode=True)
        return super().train(*arguments, **options)

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """As the library's, with the mean of all processes' gradients."""
        loss: torch.Tensor = super().training_step(*arguments, **options)
        if torch.distributed.is_initialized():
            gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
            mean = torch.cat([gradient.flatten() for gradient in gradients]) / torch.distributed.get_world_size()
            torch.distributed.all_reduce(mean)
            parts = torch.split(mean, [gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        return loss

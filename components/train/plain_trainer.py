"""sentence-transformers' trainer without its model card, whose statistics take seconds before the start."""

from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from transformers import TrainerCallback


class _NoModelCard(TrainerCallback):
    def __init__(self, default_args_dict: dict[str, Any]) -> None:
        """Take what the library's own callback takes."""


class PlainTrainer(SentenceTransformerTrainer):
    """The library's trainer; models are saved without a card, so none is prepared."""

    model_card_callback_class: Any = _NoModelCard

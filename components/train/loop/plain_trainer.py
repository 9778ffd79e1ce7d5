"""sentence-transformers' trainer over token ids on disk, without its model card, whose statistics take seconds."""

from typing import Any, cast

from sentence_transformers import SentenceTransformerTrainer
from torch.utils.data import DataLoader
from transformers import TrainerCallback


class _NoModelCard(TrainerCallback):
    def __init__(self, default_args_dict: dict[str, Any]) -> None:
        """Take what the library's own callback takes."""


class PlainTrainer(SentenceTransformerTrainer):
    """The library's trainer; models are saved without a card, so none is prepared.

    Its dataset is any that torch's DataLoader takes, with `column_names`, where the library wants one of `datasets`.
    """

    model_card_callback_class: Any = _NoModelCard

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of the batch sampler, for this process."""
        arguments: Any = self.args
        accelerator: Any = self.accelerator
        examples: Any = self.train_dataset
        sampler: Any = self.get_batch_sampler(
            examples,
            batch_size=arguments.train_batch_size,
            drop_last=arguments.dataloader_drop_last,
            seed=arguments.seed,
        )
        accelerator.even_batches = False  # as in the library: no batch is filled up with examples of the first
        loader: DataLoader[Any] = DataLoader(
            examples,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=arguments.dataloader_num_workers,
            pin_memory=arguments.dataloader_pin_memory,
        )
        prepared: Any = accelerator.prepare(loader)
        if prepared.batch_sampler is not sampler:
            # A process's shard of the batches does not hand on the epoch, and a resumed training would begin with those
            # of the first one: the trainer looks for this on what it skips batches of.
            prepared.batch_sampler.set_epoch = sampler.set_epoch
        return cast(DataLoader[Any], prepared)

"""sentence-transformers' trainer, set up for a recipe."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from components.train.precision import uses_bf16
from components.train.recipes import Recipe
from components.train.report import DEV_ACCURACY, DEV_NDCG

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    from components.train.examples.tokens import TokenisedExamples
    from components.train.loop.dev_set import DevEvaluator
    from components.train.ranks import Ranks

MEASURES = {"accuracy": DEV_ACCURACY, "ndcg@10": DEV_NDCG}  #: by the name that a recipe gives


def build_trainer(
    model: "SentenceTransformer",
    examples: "TokenisedExamples",
    evaluator: "DevEvaluator | None",
    recipe: Recipe,
    *,
    precision: str,
    seed: int,
    checkpoints: Path,
    ranks: "Ranks",
) -> "SentenceTransformerTrainer":
    """Return a trainer that keeps the best checkpoint by what the recipe measures, or the last where there is no dev.

    Args:
        model: the base model.
        examples: its token ids.
        evaluator: measures dev; None where there is none.
        recipe: how to train.
        precision: auto, fp32 or bf16.
        seed: of the order of the examples, and of dropout.
        checkpoints: the folder where they are kept.
        ranks: the processes that train together.
    """
    from functools import partial

    from transformers import EarlyStoppingCallback, PrinterCallback

    from components.train.examples.batches import NoDuplicatesBatches
    from components.train.examples.tokens import TokenCollator
    from components.train.loop.packed_loss import PackedMultipleNegativesRankingLoss
    from components.train.loop.plain_trainer import PlainTrainer

    if not recipe.dropout:
        _switch_dropout_off(model)
    _freeze(model, recipe.frozen)
    arguments = _arguments(recipe, checkpoints, precision, seed, len(examples), has_dev=evaluator is not None)
    if arguments.bf16 and arguments.use_cpu:
        _attend_by_products(model)
    arguments.batch_sampler = partial(NoDuplicatesBatches, keys=examples.keys)
    if ranks.count > 1:
        # Each process gets a part of the batch that one alone would have, and its queries see the negatives of all.
        arguments.accelerator_config.split_batches = True
    trainer = PlainTrainer(
        model=model,
        args=arguments,
        train_dataset=cast(Any, examples),
        loss=PackedMultipleNegativesRankingLoss(
            model, gather_across_devices=ranks.count > 1, directions=recipe.directions, **_comparison(model)
        ),
        evaluator=evaluator,
        data_collator=cast(Any, TokenCollator(model, recipe.negatives)),
    )
    trainer.remove_callback(PrinterCallback)  # says the same again, as dicts, on standard output
    if recipe.patience and evaluator is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
    return trainer


def _comparison(model: "SentenceTransformer") -> dict[str, Any]:
    """How the loss compares embeddings: as the model does when it serves.

    A dot product of vectors of any length is its own logit; a cosine, or one of unit vectors, is at most 1 and scaled.
    """
    from sentence_transformers.sentence_transformer.modules import Normalize
    from sentence_transformers.util import dot_score

    if model.similarity_fn_name != "dot" or isinstance(model[-1], Normalize):
        return {}
    return {"similarity_fct": dot_score, "scale": 1.0}


def _switch_dropout_off(model: "SentenceTransformer") -> None:
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0


def _attend_by_products(model: "SentenceTransformer") -> None:
    """Compute attention as plain products of matrices, which bf16 units are made for.

    torch's fused attention for CPUs does not use them in its backward pass: it was a third of a step (torch 2.13, AMX).
    """
    transformer: Any = model[0]
    transformer.model.set_attn_implementation("eager")


def _freeze(model: "SentenceTransformer", share: float) -> None:
    """Keep the weights of the embeddings and of the first layers: no gradient goes through them, so steps cost less.

    Lower layers change least in fine-tuning, and freezing a part of them costs little or nothing: Lee et al. 2019,
    "What would Elsa do? Freezing layers during transformer fine-tuning" (arXiv:1911.03090).
    """
    from torch.nn import ModuleList

    stacks = [module for module in model[0].modules() if isinstance(module, ModuleList)]
    layers: Any = max(stacks, key=len, default=[])
    count = int(share * len(layers))
    if not count:
        return
    first_trained = next(layers[count].parameters())
    for parameter in model[0].parameters():
        if parameter is first_trained:
            return
        parameter.requires_grad_(False)


def _arguments(
    recipe: Recipe, checkpoints: Path, precision: str, seed: int, examples: int, *, has_dev: bool = True
) -> Any:
    import torch
    from sentence_transformers import SentenceTransformerTrainingArguments
    from transformers.utils import is_torch_tf32_available

    on_gpu = torch.cuda.is_available()
    steps = math.ceil(examples * recipe.epochs / recipe.batch_size)
    interval = math.ceil(steps / recipe.evaluations)  # the last one is at the end
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        bf16=uses_bf16(precision),
        use_cpu=not on_gpu,
        tf32=True if is_torch_tf32_available() else None,
        dataloader_pin_memory=on_gpu,
        dataloader_num_workers=2 if on_gpu else 0,  # on a CPU reading ids costs less than handing them over
        eval_strategy="steps" if has_dev else "no",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=1,
        save_on_each_node=True,  # where nodes share no disk, each carries on from its own
        load_best_model_at_end=has_dev,
        restore_callback_states_from_checkpoint=True,  # a resumed training stops where an uninterrupted one would
        metric_for_best_model=f"eval_{MEASURES[recipe.measure]}" if has_dev else None,
        greater_is_better=True,
        logging_steps=max(1, steps // 20),
        logging_first_step=True,  # the base model's own loss, which the loss guard compares with
        seed=seed,
        data_seed=seed,
        logging_nan_inf_filter=False,  # a loss that is not a number is an error to report, not to average away
        report_to="none",
        disable_tqdm=True,
    )

"""The walk: every stage, and how they connect. Read it from top to bottom."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kfp import dsl

from components.champion.component import champion
from components.choose.component import choose
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.hold.component import hold
from components.index.component import index
from components.measure.component import measure
from components.prepare.component import prepare
from components.promote.component import promote
from components.source.component import candidates, source
from components.train.component import train
from pipeline.settings.file import STAGES, PipelineSettings
from pipeline.settings.tasks import apply_settings

__all__ = ["STAGES", "Outcome", "build_pipeline"]


class Outcome(NamedTuple):
    """What a run leaves behind for whoever started it."""

    dataset: dsl.Dataset
    decision: dsl.Artifact
    candidate_scores: dsl.Artifact
    champion_scores: dsl.Artifact


def build_pipeline(
    images: Mapping[str, str] | None = None,
    settings: PipelineSettings | None = None,
    base_models: Sequence[str] | None = None,
) -> Any:
    """Return the pipeline, with `images` as the stages' container images and `settings` applied to the tasks.

    With `base_models` it chooses the base model first: it has the parameter `base_models` in place of `base_model`, by
    default those, and measures each of them. Whether it does is settled here and not by a condition in the pipeline:
    KFP starts pods for a condition that does not hold as well, and its local runner cannot collect from an empty loop.
    """
    images = images or {}
    is_choosing = base_models is not None

    def staged(task: Any, stage: str, caching: bool = True) -> Any:
        if settings is not None:
            apply_settings(task, stage, settings, images.get(stage))
        if stage in images:
            task.set_container_image(images[stage])
        return task.set_caching_options(caching).set_display_name(stage)

    def ranklift(
        data: str = "demo://docstrings",
        base_model: str = "auto",
        max_triplets: int = 0,
        triplets_per_query: int = 1,
        max_seq_length: int = 0,
        evaluation_queries: float = 1000,
        dev_queries: float = 200,
        max_corpus: int = 10_000,
        evaluation_data: str = "",
        evaluation_split: str = "test",
        on_leak: str = "error",
        strict_passages: bool = False,
        languages: str = "",
        false_negatives: int = 0,
        recipe: str = "seed",
        epochs: float = 0.0,
        batch_size: int = 0,
        learning_rate: float = 0.0,
        processes: int = 0,
        num_nodes: int = 1,
        precision: str = "auto",
        min_gain: float = 0.005,
        alpha: float = 0.05,
        guards: dict = {},  # noqa: B006 - KFP reads it as the parameter's default; nobody changes it
        index_corpus: str = "",
        index_min_recall: float = 0.98,
        index_max_ndcg_drop: float = 0.005,
        seed: int = 42,
        base_models: list = [],  # noqa: B006 - as above
        trial_examples: int = 1000,
        choose_margin: float = 0.01,
    ) -> Outcome:
        def prepared(model: Any, fingerprint: Any, name: str = "prepare") -> Any:
            task = prepare(
                data=data,
                fingerprint=fingerprint,
                base_model=model,
                max_triplets=max_triplets,
                triplets_per_query=triplets_per_query,
                max_seq_length=max_seq_length,
                evaluation_queries=evaluation_queries,
                dev_queries=dev_queries,
                max_corpus=max_corpus,
                evaluation_data=evaluation_data,
                evaluation_split=evaluation_split,
                on_leak=on_leak,
                strict_passages=strict_passages,
                languages=languages,
                false_negatives=false_negatives,
                seed=seed,
            )
            return staged(task, "prepare").set_display_name(name).outputs["dataset"]

        # Data at the same place may be new: the look-up is never cached; `prepare` is while it finds the same.
        if is_choosing:
            looked_up = candidates(data=data, evaluation_data=evaluation_data, base_models=base_models)
            found = staged(looked_up, "source", caching=False).outputs
            trial = prepared(found["first"], found["fingerprint"], "prepare to choose")
            # One after the other, so that candidates on one node do not slow each other down.
            with dsl.ParallelFor(base_models, name="base-models", parallelism=1) as one:
                measured = staged(
                    measure(
                        dataset=trial,
                        base_model=one,
                        fingerprint=found["fingerprint"],
                        examples=trial_examples,
                        recipe=recipe,
                        batch_size=batch_size,
                        learning_rate=learning_rate,
                        precision=precision,
                        seed=seed,
                    ),
                    "measure",
                )
            collected = dsl.Collected(measured.outputs["measurement"])
            chosen = staged(choose(measurements=collected, choose_margin=choose_margin), "choose").outputs["Output"]
            # Prepared again, since the length comes from the base model's tokenizer; texts and split stay the same.
            dataset = prepared(chosen, found["fingerprint"], "prepare to train")
        else:
            looked_up = source(data=data, evaluation_data=evaluation_data, base_model=base_model)
            dataset = prepared(base_model, staged(looked_up, "source", caching=False).output)
        trained = staged(
            train(
                dataset=dataset,
                recipe=recipe,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                processes=processes,
                num_nodes=num_nodes,
            ),
            "train",
        )
        candidate = staged(export(model=trained.outputs["model"], dataset=dataset, precision=precision), "export")
        # What serves today may change between two runs of the same inputs: the look-up is never cached.
        today = staged(champion(dataset=dataset, precision=precision), "champion", caching=False)

        candidate_scores = staged(evaluate(model=candidate.outputs["served_model"], dataset=dataset), "evaluate")
        candidate_scores.set_display_name("evaluate candidate")
        champion_scores = staged(evaluate(model=today.outputs["served_model"], dataset=dataset), "evaluate")
        champion_scores.set_display_name("evaluate champion")

        judged = staged(
            gate(
                candidate=candidate_scores.outputs["scores"],
                champion=champion_scores.outputs["scores"],
                min_gain=min_gain,
                alpha=alpha,
                guards=guards,
                dataset=dataset,
            ),
            "gate",
        )
        decision = judged.outputs["decision"]
        # Two conditions beside each other: an Else would put both into a third, whose driver everything waits for.
        verdict = judged.outputs["Output"]
        with dsl.If(verdict == "promote", name="promote"):
            promoted = staged(
                promote(
                    model=candidate.outputs["served_model"],
                    dataset=dataset,
                    decision=decision,
                    index_corpus=index_corpus,
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                ),
                "promote",
                caching=False,
            )
            with dsl.If(index_corpus == "", name="without-index"):
                staged(deploy(version=promoted.output), "deploy", caching=False)
            with dsl.If(index_corpus != "", name="with-index"):
                # The champion moves here, to model and index together: deploy comes after it.
                indexed = staged(
                    index(
                        model=candidate.outputs["served_model"],
                        dataset=dataset,
                        decision=decision,
                        version=promoted.output,
                        corpus=index_corpus,
                        min_recall=index_min_recall,
                        max_ndcg_drop=index_max_ndcg_drop,
                        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    ),
                    "index",
                    caching=False,
                )
                staged(deploy(version=promoted.output).after(indexed), "deploy", caching=False)
        with dsl.If(verdict != "promote", name="hold"):
            staged(hold(decision=decision), "hold", caching=False)
        return Outcome(dataset, decision, candidate_scores.outputs["scores"], champion_scores.outputs["scores"])

    decorate = dsl.pipeline(
        name="ranklift",
        description="Fine-tune a retrieval model, measure NDCG@10 against the champion, promote a real improvement.",
    )
    if base_models is None:
        return decorate(_with_parameters(ranklift, without=("base_models", "trial_examples", "choose_margin")))
    return decorate(_with_parameters(ranklift, without=("base_model",), base_models=list(base_models)))


def _with_parameters(walk: Callable[..., Any], without: Sequence[str], **defaults: Any) -> Callable[..., Any]:
    """Return the walk without some parameters, and with another default for others; an empty default is none."""
    signature = inspect.signature(walk)
    kept = {name: parameter for name, parameter in signature.parameters.items() if name not in without}
    for name, default in defaults.items():
        kept[name] = kept[name].replace(default=default or inspect.Parameter.empty)
    # Python wants parameters without a default first.
    order = sorted(kept.values(), key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    @functools.wraps(walk)
    def shown(*values: Any) -> Any:
        return walk(**dict(zip((parameter.name for parameter in order), values, strict=True)))

    shown.__signature__ = signature.replace(parameters=order)  # which inspect reads
    return shown

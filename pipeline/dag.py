"""The pipeline: every stage, and how they connect. Read it from top to bottom."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from kfp import dsl

from components.champion.component import champion
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.hold.component import hold
from components.index.component import index
from components.prepare.component import prepare
from components.promote.component import promote
from components.source.component import source
from components.train.component import train
from pipeline.parameters import with_defaults
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
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """Return the pipeline; its parameters' types and defaults are declared by the stages, see `pipeline.parameters`.

    Args:
        images: the container image of each stage, where it is not in the settings.
        settings: what each stage needs on a cluster.
        defaults: of parameters, in place of those declared.
    """
    images = images or {}

    def staged(task: Any, stage: str, caching: bool = True) -> Any:
        if settings is not None:
            apply_settings(task, stage, settings, images.get(stage))
        if stage in images:
            task.set_container_image(images[stage])
        return task.set_caching_options(caching).set_display_name(stage)

    @dsl.pipeline(
        name="ranklift",
        description="Fine-tune a retrieval model, measure NDCG@10 against the champion, promote a real improvement.",
    )
    @partial(with_defaults, defaults=defaults)
    def ranklift(
        data: str,
        base_model: str,
        max_triplets: int,
        triplets_per_query: int,
        max_seq_length: int,
        evaluation_queries: float,
        dev_queries: float,
        folds: int,
        max_corpus: int,
        evaluation_data: str,
        evaluation_split: str,
        on_leak: str,
        strict_passages: bool,
        languages: str,
        false_negatives: int,
        recipe: str,
        epochs: float,
        batch_size: int,
        learning_rate: float,
        processes: int,
        num_nodes: int,
        precision: str,
        min_gain: float,
        alpha: float,
        guards: dict,
        index_corpus: str,
        index_min_recall: float,
        index_max_ndcg_drop: float,
        seed: int,
    ) -> Outcome:
        # Data at the same place may be new: the look-up is never cached; `prepare` is while it finds the same.
        raw = staged(source(data=data, evaluation_data=evaluation_data, base_model=base_model), "source", caching=False)
        prepared = staged(
            prepare(
                data=data,
                fingerprint=raw.output,
                base_model=base_model,
                max_triplets=max_triplets,
                triplets_per_query=triplets_per_query,
                max_seq_length=max_seq_length,
                evaluation_queries=evaluation_queries,
                dev_queries=dev_queries,
                folds=folds,
                max_corpus=max_corpus,
                evaluation_data=evaluation_data,
                evaluation_split=evaluation_split,
                on_leak=on_leak,
                strict_passages=strict_passages,
                languages=languages,
                false_negatives=false_negatives,
                seed=seed,
            ),
            "prepare",
        )
        dataset = prepared.outputs["dataset"]
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

    return ranklift

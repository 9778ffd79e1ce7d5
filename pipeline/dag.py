"""The pipeline: every stage, and how they connect. Read it from top to bottom."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from kfp import dsl

from components.champion.component import champion
from components.choose.component import choose
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.hold.component import hold
from components.index.component import embed_shards, index, join_index, plan_index
from components.measure.component import measure
from components.prepare.component import prepare
from components.promote.component import promote
from components.source.component import candidates, source
from components.train.component import train
from pipeline.parameters import chooses, with_defaults
from pipeline.settings.file import STAGES, PipelineSettings
from pipeline.settings.tasks import apply_settings

__all__ = ["STAGES", "Outcome", "Workers", "build_pipeline"]


class Outcome(NamedTuple):
    """What a run leaves behind for whoever started it."""

    dataset: dsl.Dataset
    decision: dsl.Artifact
    candidate_scores: dsl.Artifact
    champion_scores: dsl.Artifact


class Workers(NamedTuple):
    """Who embeds the corpus of the index."""

    number: int = 1
    one_by_one: bool = False  #: whether they work one after the other, as on one machine


def build_pipeline(
    images: Mapping[str, str] | None = None,
    settings: PipelineSettings | None = None,
    defaults: Mapping[str, Any] | None = None,
    workers: Workers | None = None,
) -> Any:
    """Return the pipeline; its parameters' types and defaults are declared by the stages, see `pipeline.parameters`.

    Args:
        images: the container image of each stage, where it is not in the settings.
        settings: what each stage needs on a cluster.
        defaults: of parameters, in place of those declared. With several `base_models` the pipeline chooses first.
            That is settled here and not by a condition in the pipeline: KFP starts pods for a condition that does not
            hold as well, and its local runner cannot collect from an empty loop.
        workers: of the index, settled here for the same reasons; one, without a plan and a loop, when None.
    """
    images, workers = images or {}, workers or Workers()
    is_choosing = chooses(defaults or {})

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
        base_models: list,
        trial_examples: int,
        choose_margin: float,
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
        query_generator: str,
        queries_per_passage: int,
        generated_queries: int,
        recipe: str,
        epochs: float,
        batch_size: int,
        learning_rate: float,
        teacher: str,
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
                # A base model is chosen by dev queries, and a cross-validation leaves none that it would not judge by.
                folds=1 if is_choosing else folds,
                max_corpus=max_corpus,
                evaluation_data=evaluation_data,
                evaluation_split=evaluation_split,
                on_leak=on_leak,
                strict_passages=strict_passages,
                languages=languages,
                false_negatives=false_negatives,
                query_generator=query_generator,
                queries_per_passage=queries_per_passage,
                generated_queries=generated_queries,
                seed=seed,
            )
            return staged(task, "prepare").set_display_name(name).outputs["dataset"]

        # Data at the same place may be new: the look-up is never cached; `prepare` is while it finds the same.
        if is_choosing:
            looked_up = candidates(
                data=data,
                evaluation_data=evaluation_data,
                base_models=base_models,
                query_generator=query_generator,
                teacher=teacher,
            )
            found = staged(looked_up, "source", caching=False).outputs
            trial = prepared(found["first"], found["fingerprint"], "prepare to choose")
            # One after the other, so that candidates on one node do not slow each other down. KFP's local runner loops
            # over a list that is a parameter, and over none that a stage gives.
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
            chosen = staged(choose(measurements=collected, margin=choose_margin), "choose").outputs["Output"]
            # Prepared again, since the length comes from the base model's tokenizer; texts and split stay the same.
            dataset = prepared(chosen, found["fingerprint"], "prepare to train")
        else:
            looked_up = source(
                data=data,
                evaluation_data=evaluation_data,
                base_model=base_model,
                query_generator=query_generator,
                teacher=teacher,
            )
            dataset = prepared(base_model, staged(looked_up, "source", caching=False).output)
        trained = staged(
            train(
                dataset=dataset,
                recipe=recipe,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                teacher=teacher,
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
                # The champion moves at the end of this, to model and index together: deploy comes after it.
                judged_by = {"min_recall": index_min_recall, "max_ndcg_drop": index_max_ndcg_drop}
                made_of = {
                    "model": candidate.outputs["served_model"],
                    "dataset": dataset,
                    "decision": decision,
                    "version": promoted.output,
                    "corpus": index_corpus,
                }
                indexed = _index(partial(staged, stage="index", caching=False), workers, made_of, judged_by)
                staged(deploy(version=promoted.output).after(indexed), "deploy", caching=False)
        with dsl.If(verdict != "promote", name="hold"):
            staged(hold(decision=decision), "hold", caching=False)
        return Outcome(dataset, decision, candidate_scores.outputs["scores"], champion_scores.outputs["scores"])

    return ranklift


def _index(staged: Any, workers: Workers, made_of: Mapping[str, Any], judged_by: Mapping[str, Any]) -> Any:
    """Return the task that ends with the champion's index: the whole stage, or what joins the shards of workers."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    if workers.number == 1:
        return staged(index(**made_of, **judged_by, run=run))
    plan = staged(plan_index(**made_of)).set_display_name("plan index").outputs["plan"]
    at_once = 1 if workers.one_by_one else workers.number
    with dsl.ParallelFor(list(range(workers.number)), name="index-workers", parallelism=at_once) as number:
        shards = staged(embed_shards(model=made_of["model"], plan=plan, worker=number, workers=workers.number))
        shards.set_display_name("embed shards")
    return staged(join_index(**made_of, **judged_by, run=run, plan=plan, embedded=dsl.Collected(shards.output)))

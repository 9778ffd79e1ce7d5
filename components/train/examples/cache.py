"""From triplets to token ids, once for each dataset, recipe and base model."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.machine.cache import make_room, mark_used
from components.machine.digest import records_sha256
from components.machine.scratch_folder import scratch_folder
from components.machine.settings import cache_directory
from components.stage import tell
from components.train.inputs import Task, check_batch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from components.train.examples.teacher import Teacher
    from components.train.examples.tokens import TokenisedExamples
    from components.train.examples.triplets import Example


def token_ids(
    task: Task, model: "SentenceTransformer", checkpoints: Path, scratch: Path, scores: Path | None = None
) -> "TokenisedExamples":
    """Return the examples as token ids: those of an earlier training on the same data, or made now.

    Args:
        task: what is to be trained.
        model: the base model, at the length of training.
        checkpoints: where they lie when there is no ``RANKLIFT_CACHE``; they stay as long as the checkpoints do. In
            the cache what was used longest ago leaves when 20 GB are full.
        scratch: a folder to spill into.
        scores: where a teacher's scores lie when there is no ``RANKLIFT_CACHE``; beside the checkpoints when None.

    Raises:
        DataError: when there are fewer examples than a batch has.
    """
    from components.train.examples.tokens import TokenisedExamples, has_tokens, scored, tokenise

    inputs = task.data_inputs()
    digest = records_sha256(f"{name}={inputs[name]}" for name in sorted(inputs))[:16]
    folder = (cache_directory("examples") or checkpoints) / f"tokens-{digest}"
    if not has_tokens(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            scratch_folder(folder.parent, ".examples-") as made,
            _teacher(task, model, scores or checkpoints) as teacher,
        ):
            chunks: Iterable[Sequence[Example]] = _chunks(task, model, scratch, teacher)
            if teacher is not None:
                chunks = scored(chunks, teacher.scores, made / "tokens")
            tokenise(model, chunks, task.recipe.negatives, made / "tokens")
            _settle(made / "tokens", folder)
        make_room(folder, _is_entry)
    mark_used(folder)
    examples = TokenisedExamples(folder)
    check_batch(task, len(examples))
    return examples


def _is_entry(path: Path) -> bool:
    # Versions before kept Arrow files under another name.
    return path.name.startswith(("tokens-", "examples-")) and path.is_dir()


def _settle(made: Path, folder: Path) -> None:
    from components.train.examples.tokens import has_tokens

    try:
        made.rename(folder)
    except OSError:
        if has_tokens(folder):
            return  # another process was first, with the same content
        shutil.rmtree(folder)  # what a disk lost
        made.rename(folder)


@contextmanager
def _teacher(task: Task, model: "SentenceTransformer", folder: Path) -> Iterator["Teacher | None"]:
    """Open the teacher, where there is one, with the scores that it gave for this dataset before."""
    if task.teacher is None:
        yield None
        return
    from components.train.examples.teacher import teaching

    digest = records_sha256([task.manifest.digest, task.teacher_sha256])[:16]
    kept = (cache_directory("teacher-scores") or folder) / f"scores-{digest}"
    with teaching(task.teacher, kept, str(model.device)) as teacher:
        mark_used(kept)
        yield teacher
    make_room(kept, _is_scores)


def _is_scores(path: Path) -> bool:
    return path.name.startswith("scores-") and path.is_dir()


def _chunks(
    task: Task, model: "SentenceTransformer", scratch: Path, teacher: "Teacher | None"
) -> Iterator[list["Example"]]:
    from components.train.examples.hard_negatives import mine
    from components.train.examples.triplets import read_examples, with_negatives

    recipe = task.recipe
    share = min(1.0, recipe.epochs)
    for chunk in read_examples(task.dataset, recipe.all_triplets, scratch, share=share, least=recipe.batch_size):
        if recipe.mined:
            tell("train", f"mining hard negatives for {len(chunk)} examples")
        found = list(mine(chunk, model, recipe.negatives)) if recipe.mined else chunk
        if recipe.mined and teacher is not None:
            found = teacher.without_answers(found)
        yield list(with_negatives(found, recipe.negatives))

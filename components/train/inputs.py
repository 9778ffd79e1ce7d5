"""What is to be trained: dataset, base model and recipe, looked up and checked before anything is made."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq
from pyarrow import ArrowException

from components.dataset.manifest import DEV, DEV_CORPUS, TRAIN, DatasetManifest
from components.errors import DataError, ModelError
from components.machine.digest import directory_files, file_sha256, tree_sha256
from components.machine.new_folder import is_free
from components.model.base import base_model_directory, check_length, open_model
from components.model.cross_encoder import teacher_directory
from components.train.little_data import count_examples, fitted
from components.train.options import TrainOptions
from components.train.precision import uses_bf16
from components.train.recipes import CHUNK, MARGIN, Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Task(NamedTuple):
    """What is to be trained, with everything looked up."""

    dataset: Path
    manifest: DatasetManifest
    data: dict[str, str]  #: the SHA-256 of the files that are read
    base_model: str
    base: Path
    base_sha256: str  #: of all its files
    max_seq_length: int  #: tokens that the model reads when it serves
    training_length: int  #: tokens at which texts are cut in training
    recipe: Recipe
    options: TrainOptions
    teacher: Path | None = None  #: the cross-encoder whose scores are learned
    teacher_sha256: str = ""  #: of all its files

    def data_inputs(self) -> dict[str, str]:
        """All that the examples and their token ids depend on."""
        recipe = self.recipe
        return {
            "data": self.data[TRAIN],
            "training length": str(self.training_length),
            "base model": self.base_sha256,
            "examples": f"{recipe.all_triplets} {recipe.negatives}",
            "part": f"{recipe.epochs} {recipe.batch_size}" if recipe.epochs < 1 else "all",
            "mining": f"{MARGIN} {CHUNK}" if recipe.mined else "none",
            **({"teacher": self.teacher_sha256} if self.teacher else {}),
            **{name: version(name) for name in ("sentence-transformers", "tokenizers", "transformers")},
        }

    def inputs(self) -> dict[str, str]:
        """All that the weights depend on."""
        libraries = ("torch", "accelerate")
        return {
            **self.data_inputs(),
            "dev": " ".join(self.data[name] for name in (DEV, DEV_CORPUS) if name in self.data),
            "recipe": repr(self.recipe),
            "seed": str(self.options.seed),
            "bf16": str(uses_bf16(self.options.precision)),
            **{name: version(name) for name in libraries},
        }


def look_up(dataset: Path, options: TrainOptions) -> Task:
    """Return what the options come to for a dataset version.

    Raises:
        DataError: when it is not a dataset version, or its files are not those that its manifest tells of.
        ModelError: when the base model or the teacher cannot be found.
        RankliftError: when there is no such recipe.
    """
    manifest = DatasetManifest.of(dataset)
    base_model = options.base_model or manifest.base_model
    base = base_model_directory(base_model)
    teacher = teacher_directory(options.teacher) if options.teacher else None
    data = {name: _checked_sha256(dataset, name, manifest) for name in training_files(manifest)}
    recipe = _recipe(dataset, options, manifest.counts["train"])
    length = options.max_seq_length or manifest.max_seq_length
    return Task(
        dataset=dataset,
        manifest=manifest,
        data=data,
        base_model=base_model,
        base=base,
        base_sha256=tree_sha256(directory_files(base)),
        max_seq_length=length,
        training_length=recipe.length_for(length),
        recipe=recipe,
        options=options,
        teacher=teacher,
        teacher_sha256=tree_sha256(directory_files(teacher)) if teacher else "",
    )


def training_files(manifest: DatasetManifest) -> list[str]:
    """Return the data files that a training reads, by name; versions of earlier releases have no passages for dev."""
    return [name for name in (TRAIN, DEV, DEV_CORPUS) if Path(name).stem in manifest.counts]


def _checked_sha256(dataset: Path, name: str, manifest: DatasetManifest) -> str:
    path, told = dataset / name, manifest.counts[Path(name).stem]
    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({error}); get the dataset version anew, or prepare it again."
        ) from error
    noun = "passages" if name == DEV_CORPUS else "triplets"
    if rows != told:
        raise DataError(
            f"{path} has {rows:,} {noun} where the manifest beside it tells of {told:,}: it was changed; get the "
            "dataset version anew, or prepare it again."
        )
    return file_sha256(path)


def _recipe(dataset: Path, options: TrainOptions, rows: int) -> Recipe:
    """Return the recipe as it is for the data, with what was set in place of what it says."""
    recipe = options.resolved()
    if not options.evaluations:
        # Long trainings are looked at in every half of an epoch, so that they can stop early.
        recipe = recipe._replace(evaluations=max(recipe.evaluations, math.ceil(2 * recipe.epochs)))
    shares = max(1, options.processes) * options.num_nodes
    examples = count_examples(dataset, recipe, rows)
    found = fitted(recipe, examples, batch_size=options.batch_size, epochs=options.epochs, shares=shares)
    return found._replace(evaluations=options.evaluations) if options.evaluations else found


def check(task: Task, output: Path) -> None:
    """Raise a RankliftError when this can never be trained, or the output folder is in use."""
    if not is_free(output):
        raise ModelError(f"{output} exists and is not an empty folder; choose another output folder or remove it.")
    if not task.manifest.counts["dev"] and not task.manifest.folds:
        raise DataError(
            f"{task.dataset / DEV} is empty, and the best checkpoint is chosen on it; prepare with more queries."
        )
    check_batch(task, task.manifest.counts["train"])


def check_batch(task: Task, examples: int) -> None:
    """Raise a DataError when so many examples do not fill one batch."""
    if examples < max(2, task.recipe.batch_size):
        raise DataError(
            f"{task.dataset / TRAIN} has {examples} examples for the recipe {task.recipe.name!r}, fewer than one batch "
            f"of {max(2, task.recipe.batch_size)}; bring more data."
        )


def open_base_model(task: Task) -> "SentenceTransformer":
    """Return the base model, at the length of training.

    Raises:
        ModelError: when it cannot be opened, or has fewer positions than it shall read when it serves.
    """
    model = open_model(task.base)
    check_length(model, task.max_seq_length, task.base_model)
    model.max_seq_length = task.training_length
    return model

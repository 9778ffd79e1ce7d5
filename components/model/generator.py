"""Generators: language models that write queries which a passage may answer, as doc2query does.

Nogueira and Lin 2019, "From doc2query to docTTTTTquery"; "GPL" (Wang et al. 2022, arXiv:2112.07577) trains on such
queries.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.errors import ModelError
from components.model.base import Wanted, model_directory, opening
from components.model.base_kind import other_kind
from components.model.folder import architecture_of, read_json

_EXAMPLE = "doc2query/msmarco-t5-base-v1"
_GENERATOR = Wanted(
    noun="query generator",
    examples=f"the folder of a text generator, a hub id such as {_EXAMPLE!r}, or s3://bucket/folder",
    without_hub="name a folder or s3://bucket/folder",
)
_READ, _WRITTEN = 350, 40  #: tokens: of a passage that are read, and of a query at most
_ASKED = 64  #: tokens: of the question below, with what a chat puts around it
_BATCH = 16  #: passages
_BEST = 10  #: tokens of which the next one is drawn
#: The prompt of a causal model. A seq2seq model reads the passage alone: it was trained to answer it with a query.
_TASK = "{passage}\n\nWrite one short search query that the text above answers.\nQuery:"


def generator_directory(name: str) -> Path:
    """Return the local folder of a text generator; the name is of any form that base models have.

    Raises:
        ModelError: when there is no such model, or it does not write texts.
    """
    directory = model_directory(name, _GENERATOR)
    if not (_is_seq2seq(directory) or _is_causal(directory)):
        raise ModelError(
            f"The query generator {directory} is {_named(directory)}; it must be a model of transformers that writes "
            f"text, a sequence-to-sequence or causal language model: use one, such as {_EXAMPLE}."
        )
    return directory


def _named(directory: Path) -> str:
    found = other_kind(directory)
    if found is None:
        return "an encoder, which writes no text"
    architecture = architecture_of(directory)
    return f"a {architecture}, which writes no text" if architecture else found


def _is_seq2seq(directory: Path) -> bool:
    return _is_among("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES", directory)


def _is_causal(directory: Path) -> bool:
    return _is_among("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", directory)


def _is_among(mapping: str, directory: Path) -> bool:
    """Whether a folder's architecture is in one of transformers' lists; nothing is opened."""
    try:
        from transformers.models.auto import modeling_auto
    except ImportError as error:
        raise ModelError(
            "Generating queries needs transformers and torch; install `ranklift[train]`, or leave out query_generator."
        ) from error
    named = getattr(modeling_auto, mapping).get(read_json(directory / "config.json").get("model_type"), ())
    return architecture_of(directory) in ((named,) if isinstance(named, str) else named)


class QueryGenerator:
    """An opened text generator: no network, no code from the folder.

    Args:
        directory: its folder.

    Raises:
        ModelError: when it cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        self._is_causal = not _is_seq2seq(directory)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        kind: Any = AutoModelForCausalLM if self._is_causal else AutoModelForSeq2SeqLM
        with opening(f"The query generator {directory}", "a text generator"):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
            self._model: Any = kind.from_pretrained(str(directory), local_files_only=True).to(self._device).eval()
        self._read = self._tokens_read()
        self._pad(directory)

    def queries(self, passages: Sequence[str], each: int, seed: int) -> Iterator[list[list[str]]]:
        """Yield so many queries for each passage, a batch of passages at a time; the same seed gives the same ones.

        Args:
            passages: texts; their beginnings are read.
            each: queries for a passage; they may be equal, or empty.
            seed: of what is drawn.
        """
        for start in range(0, len(passages), _BATCH):
            part = passages[start : start + _BATCH]
            written = self._written([self._task(passage) for passage in part], each, seed + start)
            yield [written[place : place + each] for place in range(0, len(written), each)]

    def _task(self, passage: str) -> str:
        if not self._is_causal:
            return passage
        ids = self._tokenizer(passage, truncation=True, max_length=self._read, add_special_tokens=False)["input_ids"]
        task = _TASK.format(passage=self._tokenizer.decode(ids, skip_special_tokens=True))
        if not self._tokenizer.chat_template:
            return task
        said = [{"role": "user", "content": task}]
        asked: str = self._tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        return asked

    def _written(self, tasks: list[str], each: int, seed: int) -> list[str]:
        import torch

        cut = {} if self._is_causal else {"truncation": True, "max_length": self._read}  # a task ends with the question
        read = self._tokenizer(tasks, padding=True, return_tensors="pt", **cut).to(self._device)
        read.pop("token_type_ids", None)  # some tokenizers give them, and no generator takes them
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            found = self._model.generate(
                **read, do_sample=True, top_k=_BEST, num_beams=1, num_return_sequences=each, max_new_tokens=_WRITTEN,
                pad_token_id=self._tokenizer.pad_token_id,
            )  # fmt: skip
        new = found[:, read["input_ids"].shape[1] :] if self._is_causal else found
        texts: list[str] = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return [next(iter(text.strip().splitlines()), "").strip(" \"'") for text in texts]

    def _tokens_read(self) -> int:
        """Tokens of a passage: fewer where the model has not so many positions, for its question and answer as well."""
        config = self._model.config
        positions = (
            getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or _READ * 2
        )
        return max(1, min(_READ, int(positions) - (_WRITTEN + _ASKED if self._is_causal else 0)))

    def _pad(self, directory: Path) -> None:
        """Pad on the side on which nothing is written."""
        if self._is_causal:
            self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            if self._tokenizer.eos_token_id is None:
                raise ModelError(
                    f"The query generator {directory} has neither a token for padding nor one for the end of a text; "
                    "use another one."
                )
            self._tokenizer.pad_token = self._tokenizer.eos_token

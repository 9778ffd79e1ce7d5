"""The one encoder: `evaluate` judges with it and the predictor serves with it, from the same files.

OpenVINO runs the graph, `tokenizers` makes the tokens; neither torch nor transformers is imported.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.errors import ModelError
from components.machine.digest import file_sha256
from components.machine.processor import available_cpus
from components.model.runtime import openvino_core
from components.model.served import GRAPH, TOKENIZER, EncoderConfig, Precision
from components.model.text_cut import TextCut

Embeddings = NDArray[np.float32]
Progress = Callable[[int], None]

# Tokens in one inference, padding included. Beyond about this many a CPU gains nothing and loses cache.
TOKEN_BUDGET = 1024
# Lengths are padded to a multiple of this: OpenVINO keeps code and buffers for every shape that it has met (about
# 0.2 MB each for a MiniLM-L6), and this leaves a tenth of the shapes.
_STEP = 8
_CHARACTERS_PER_TOKEN = 8  # of a text that are tokenised at first; few texts have longer tokens in the mean
_CHUNK = 4096  # texts that are tokenised and sorted by length together
_PRECISION_HINT = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class Batch(NamedTuple):
    """Texts of similar length that are encoded together: their positions, and one padded array for each input."""

    positions: list[int]
    arrays: dict[str, NDArray[np.int64]]


class Tokens(NamedTuple):
    """The tokens of one text, as many as the model reads; far smaller than what `tokenizers` makes."""

    ids: NDArray[np.int32]
    type_ids: NDArray[np.int8]
    was_cut: bool  #: whether the text has more


NO_TOKENS = Tokens(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int8), False)


class Encoder:
    """Turns texts into embeddings exactly as the exported model in a directory says.

    Safe to share between threads: every call uses its own inference requests.
    """

    def __init__(self, config: EncoderConfig, tokenizer: Any, compiled: Any) -> None:
        self.config = config
        self._tokenizer = tokenizer
        self._cut = TextCut(tokenizer)
        self._has_types = "token_type_ids" in config.inputs
        self._compiled = compiled

    @classmethod
    def open(cls, directory: Path, *, threads: int | None = None, verify: bool = True) -> "Encoder":
        """Load the exported model in a directory.

        Args:
            directory: what `export` made.
            threads: CPU threads for inference; as many as this process may use when None.
            verify: compare the SHA-256 of every served file with ``encoder.json`` first.

        Raises:
            ModelError: when a file is missing or damaged, or this processor cannot run the model's precision.
        """
        config = EncoderConfig.of(directory)
        _check_files(directory, config, verify)
        return cls(config, _load_tokenizer(directory, config), _compile(directory, config, threads or available_cpus()))

    @property
    def digest(self) -> str:
        """The model digest; see `EncoderConfig.digest`."""
        return self.config.digest

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Embed queries, with the model's query prompt: float32 of shape (texts, dimension)."""
        return self.encode(texts, self.config.query_prompt, progress)

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Embed documents, with the model's document prompt: float32 of shape (texts, dimension)."""
        return self.encode(texts, self.config.document_prompt, progress)

    def encode(self, texts: Sequence[str], prompt: str = "", progress: Progress | None = None) -> Embeddings:
        """Embed texts after putting `prompt` before each; `progress` is told how many texts each batch finished."""
        result = np.empty((len(texts), self.config.dimension), dtype=np.float32)
        # Not OpenVINO's AsyncInferQueue: its Python callbacks end on threads of the runtime that still need the
        # interpreter's lock, and freeing the model meanwhile joins them while it holds that lock: a deadlock, seen.
        running: deque[tuple[Any, list[int]]] = deque()
        requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        for batch in self.batches([prompt + text for text in texts]):
            request = _finish(running, result, progress) if len(running) >= requests else None
            request = request or self._compiled.create_infer_request()
            request.start_async(batch.arrays)
            running.append((request, batch.positions))
        while running:
            _finish(running, result, progress)
        return result

    def batches(self, texts: Sequence[str], token_budget: int = TOKEN_BUDGET) -> Iterator[Batch]:
        """Tokenise texts and group them by length, longest first, so that padding costs next to nothing.

        Texts are taken in chunks: while one is inferred the next one is tokenised, and memory stays bounded.
        """
        for start in range(0, len(texts), _CHUNK):
            encodings = self.tokenize(texts[start : start + _CHUNK])
            lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
            for group in group_by_length(lengths, token_budget):
                arrays = self._pad([encodings[position] for position in group])
                yield Batch([start + position for position in group], arrays)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text, cut at `max_seq_length`; a lone surrogate becomes a question mark.

        Of a long text only a beginning is tokenised that gives as many tokens as the model reads; see `TextCut`.
        """
        found: dict[int, Tokens] = {}
        missing = list(range(len(texts)))
        length = _CHARACTERS_PER_TOKEN * self.config.max_seq_length
        while missing:
            pieces = [self._cut.cut(texts[position], length) for position in missing]
            encodings = self._tokenizer.encode_batch_fast([_without_surrogates(piece) for piece in pieces])
            for position, piece, encoding in zip(missing, pieces, encodings, strict=True):
                tokens = self._compact(encoding)
                if tokens.was_cut or len(piece) == len(texts[position]):
                    found[position] = tokens
            missing = [position for position in missing if position not in found]
            length *= 4
        return [found[position] for position in range(len(texts))]

    def _compact(self, encoding: Any) -> Tokens:
        ids = np.array(encoding.ids, dtype=np.int32)
        types = np.array(encoding.type_ids, dtype=np.int8) if self._has_types else NO_TOKENS.type_ids
        return Tokens(ids, types, len(ids) >= self.config.max_seq_length and bool(encoding.overflowing))

    def session(self) -> "Session":
        """Return a new inference request, for one thread that infers batch after batch."""
        return Session(self._compiled.create_infer_request(), self._pad)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the model reads for these texts, after truncation."""
        return sum(len(encoding.ids) for encoding in self.tokenize(texts))

    def _pad(self, encodings: Sequence[Tokens]) -> dict[str, NDArray[np.int64]]:
        longest = max(len(encoding.ids) for encoding in encodings)
        shape = (len(encodings), max(longest, min(self.config.max_seq_length, padded_length(longest))))
        arrays = {name: np.zeros(shape, dtype=np.int64) for name in self.config.inputs}
        arrays["input_ids"].fill(self.config.pad_token_id)
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            arrays["input_ids"][row, :length] = encoding.ids
            arrays["attention_mask"][row, :length] = 1
            if self._has_types:
                arrays["token_type_ids"][row, :length] = encoding.type_ids
        return arrays


class Session:
    """One inference request that is used again and again; not to be shared between threads."""

    def __init__(self, request: Any, pad: Callable[[Sequence[Tokens]], dict[str, NDArray[np.int64]]]) -> None:
        self._request = request
        self._pad = pad

    def run(self, encodings: Sequence[Tokens]) -> Embeddings:
        """Embed what `Encoder.tokenize` gave: float32 of shape (encodings, dimension), the caller's to keep."""
        # Never `share_inputs`: the graph of a stream keeps the address of shared arrays, and the next inference that
        # brings its own inputs writes to it after they were freed; the process dies of it (seen with OpenVINO 2026.4).
        self._request.infer(self._pad(encodings), share_inputs=False)
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)


def _finish(running: deque[tuple[Any, list[int]]], result: Embeddings, progress: Progress | None) -> Any:
    """Wait for the oldest of the running requests, keep its embeddings, and hand it back for the next batch."""
    request, positions = running.popleft()
    request.wait()
    result[positions] = request.get_output_tensor(0).data
    if progress is not None:
        progress(len(positions))
    return request


def group_by_length(lengths: NDArray[np.int64], token_budget: int) -> Iterator[list[int]]:
    """Positions in groups, longest texts first; a group's count times its longest length stays in the budget.

    A text longer than the budget forms its own group.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        size = common_size(min(size, len(order) - start))
        yield order[start : start + size].tolist()
        start += size


def common_size(texts: int) -> int:
    """Return the size of a batch of at most so many texts: 1, 2, 3, 4, 6, 8, 12, 16, …

    Batches are of few sizes for the reason that lengths are: each shape that OpenVINO meets costs memory for good.
    """
    power = 1 << (texts.bit_length() - 1)
    return power + power // 2 if texts >= power + power // 2 else power


def padded_length(tokens: int) -> int:
    """Return the length that a text of so many tokens is padded to when it is the longest of its batch."""
    return -(-tokens // _STEP) * _STEP


def _without_surrogates(text: str) -> str:
    # A lone surrogate is legal in JSON and in Python, and not in UTF-8, which the tokenizer speaks.
    return text.encode("utf-8", "replace").decode("utf-8")


def _check_files(directory: Path, config: EncoderConfig, verify: bool) -> None:
    for name, expected in config.files.items():
        path = directory / name
        if not path.is_file():
            raise ModelError(f"{directory} is not a complete model: {name} is missing; export or download it again.")
        if verify and (found := file_sha256(path)) != expected:
            raise ModelError(
                f"{path} is damaged: its SHA-256 is {found[:12]}… where encoder.json says {expected[:12]}…; "
                "export or download the model again."
            )


def _load_tokenizer(directory: Path, config: EncoderConfig) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(directory / TOKENIZER))
    except Exception as error:  # `tokenizers` raises plain Exception, for whatever it cannot read
        raise ModelError(f"{directory / TOKENIZER} is not a tokenizer ({error}); export the model again.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_seq_length)
    return tokenizer


def _compile(directory: Path, config: EncoderConfig, threads: int) -> Any:
    core = openvino_core()
    _check_precision(config.precision, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    options = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": str(threads),
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": _PRECISION_HINT[config.precision],
    }
    try:
        return core.compile_model(str(directory / GRAPH), "CPU", options)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(
            f"{directory / GRAPH} is not a graph that OpenVINO runs ({reason}); export it again."
        ) from error


def _check_precision(precision: Precision, capabilities: Sequence[str]) -> None:
    if precision == "bf16" and "BF16" not in capabilities:
        raise ModelError(
            "This model was exported and judged in bf16, which this processor does not have "
            f"(it has {', '.join(capabilities)}); export it again with `--precision fp32`."
        )


def comparable(embeddings: Embeddings, config: EncoderConfig) -> Embeddings:
    """Embeddings whose inner product is the model's similarity, in `evaluate` as in the predictor: float32, same shape.

    They are scaled to length 1 when the model compares by cosine and its graph does not do that itself.
    """
    if config.similarity == "dot" or config.normalized:
        return embeddings
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: Embeddings = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    return scaled

"""Training examples as token ids: tokenised once, kept on disk, read a batch at a time.

<folder>/tokens.bin    token ids, example after example, within it text after text
<folder>/places.bin    a record for each example: where its ids begin, how many each text has, and a key of each text
<folder>/scores.bin     of examples that a teacher scored: its score of each passage
<folder>/tokens.json   how many examples and ids, the columns, and the type of an id; written last

Nothing is mapped into memory: what a training reads from a mapped file counts as its memory, and grows with the data.
"""

import json
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.train.examples.triplets import Example

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

_TOKENS, _PLACES, _SCORES, _DONE = "tokens.bin", "places.bin", "scores.bin", "tokens.json"
LABEL = "label"  #: by which the trainer hands something to the loss beside texts: here, a teacher's scores
_SCORE = np.dtype("<f4")
_TEXTS = 4096  #: tokenised at once

TokenIds = NDArray[np.uint16 | np.int32]  #: of one text: of shape (tokens,)
Scores = NDArray[np.float32]  #: that a teacher gave the passages of examples: of shape (examples, passages)


class TokenisedExamples:
    """What training reads: a dataset as torch's DataLoader takes it, of token ids by column.

    Args:
        folder: what `tokenise` wrote.

    Attributes:
        column_names: query, positive, negative_1, ….
        triplets: of the data that the examples stand for.
    """

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        self.column_names: list[str] = told["columns"]
        self.triplets: int = told["triplets"]
        self._count: int = told["examples"]
        self._folder, self._ids, self._place = folder, np.dtype(told["ids"]), _place(len(self.column_names))
        # Open as long as this is: who makes room in a cache meanwhile takes nothing away.
        self._tokens, self._places = self._opened(_TOKENS), self._opened(_PLACES)
        self._scores = self._opened(_SCORES) if (folder / _SCORES).is_file() else None

    def __reduce__(self) -> tuple[type["TokenisedExamples"], tuple[Path]]:
        """Return a DataLoader's process opens the files anew."""
        return TokenisedExamples, (self._folder,)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> dict[str, TokenIds]:
        """Return the token ids of an example, by column.

        Raises:
            IndexError: when there is no such row.
        """
        if not 0 <= row < self._count:
            raise IndexError(f"There is no row {row}: rows are 0 to {self._count - 1}.")
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, TokenIds]]:
        """Return the token ids of a batch, which a DataLoader asks for at once; and its scores, where there are any."""
        places = self._read_places(rows)
        ends = places["lengths"].cumsum(axis=1)
        size = self._ids.itemsize
        read = [
            os.pread(self._tokens, int(end) * size, int(start) * size)
            for start, end in zip(places["start"], ends[:, -1], strict=True)
        ]
        texts = [np.split(np.frombuffer(ids, self._ids), end[:-1]) for ids, end in zip(read, ends, strict=True)]
        batch = [dict(zip(self.column_names, split, strict=True)) for split in texts]
        if self._scores is not None:
            for example, scores in zip(batch, self._read_scores(self._scores, rows), strict=True):
                example[LABEL] = scores
        return batch

    def keys(self, rows: Sequence[int]) -> NDArray[np.uint64]:
        """Keys of shape (rows, texts): equal texts have equal keys."""
        found: NDArray[np.uint64] = self._read_places(rows)["keys"]
        return found

    def _read_places(self, rows: Sequence[int]) -> NDArray[Any]:
        size = self._place.itemsize
        return np.frombuffer(b"".join(os.pread(self._places, size, row * size) for row in rows), self._place)

    def _read_scores(self, file: int, rows: Sequence[int]) -> Scores:
        size = _SCORE.itemsize * (len(self.column_names) - 1)
        read = b"".join(os.pread(file, size, row * size) for row in rows)
        return np.frombuffer(read, _SCORE).reshape(len(rows), -1)

    def _opened(self, name: str) -> int:
        descriptor = os.open(self._folder / name, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return descriptor


def _place(texts: int) -> np.dtype[np.void]:
    """Return the record of an example with so many texts."""
    return np.dtype([("start", "<u8"), ("lengths", "<u4", (texts,)), ("keys", "<u8", (texts,))])


def columns(negatives: int) -> tuple[str, ...]:
    """Return the columns of examples with so many negatives."""
    return ("query", "positive", *(f"negative_{number}" for number in range(1, negatives + 1)))


def tokenise(
    model: "SentenceTransformer", examples: Iterable[Sequence[Example]], negatives: int, folder: Path
) -> TokenisedExamples:
    """Write the examples as token ids, cut at the model's length, its prompts before them; return them opened.

    Args:
        model: whose tokenizer, prompts and ``max_seq_length`` are used.
        examples: in chunks, each with exactly `negatives` negatives.
        negatives: how many.
        folder: is made; what an earlier, interrupted call left in it is overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = columns(negatives)
    ids = np.dtype("<u2" if len(model.tokenizer) <= 2**16 else "<i4")
    count = triplets = written = 0
    with (folder / _TOKENS).open("wb") as tokens, (folder / _PLACES).open("wb") as places:
        for chunk in examples:
            for start in range(0, len(chunk), _TEXTS):
                part = chunk[start : start + _TEXTS]
                texts = zip(*map(_texts, part), strict=True)
                columns_of_ids = [
                    _ids(model, prompt, list(column))
                    for prompt, column in zip(_prompts(model, names), texts, strict=True)
                ]
                found = list(zip(*columns_of_ids, strict=True))  # by example
                places.write(_places_of(part, found, written).tobytes())
                flat = np.fromiter(chain.from_iterable(map(chain.from_iterable, found)), ids)
                tokens.write(flat.tobytes())
                written += len(flat)
                count += len(part)
                triplets += sum(example.triplets for example in part)
        for file in (tokens, places):  # what tokens.json says is there must be there after a power cut as well
            file.flush()
            os.fsync(file.fileno())
    told = {"examples": count, "triplets": triplets, "written": written, "columns": names, "ids": ids.str}
    (folder / _DONE).write_text(json.dumps(told), encoding="utf-8")
    return TokenisedExamples(folder)


def scored(
    examples: Iterable[Sequence[Example]], score: Callable[[Sequence[Example]], Scores], folder: Path
) -> Iterator[Sequence[Example]]:
    """Yield the examples, in chunks as `tokenise` reads them; write beside their tokens what a teacher scores them.

    Args:
        examples: in chunks, all with the same number of negatives.
        score: gives the scores of a chunk.
        folder: of the tokens; is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _SCORES).open("wb") as scores:
        for chunk in examples:
            scores.write(score(chunk).astype(_SCORE).tobytes())
            yield chunk
        scores.flush()
        os.fsync(scores.fileno())


def has_tokens(folder: Path) -> bool:
    """Whether a call of `tokenise` came to its end in this folder, and its files are as long as it left them."""
    try:
        told = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        expected = {
            _TOKENS: told["written"] * np.dtype(told["ids"]).itemsize,
            _PLACES: told["examples"] * _place(len(told["columns"])).itemsize,
        }
        if (folder / _SCORES).is_file():
            expected[_SCORES] = told["examples"] * (len(told["columns"]) - 1) * _SCORE.itemsize
        sizes = {name: (folder / name).stat().st_size for name in expected}
    except (OSError, ValueError, KeyError, TypeError):
        return False  # of another version, or damaged
    return sizes == expected


def _places_of(part: Sequence[Example], found: Sequence[Sequence[list[int]]], start: int) -> NDArray[Any]:
    """Return the records of examples whose token ids begin at the `start`th."""
    places = np.empty(len(part), _place(len(found[0])))
    places["lengths"] = [[len(text) for text in texts] for texts in found]
    places["start"] = start + places["lengths"].sum(axis=1).cumsum() - places["lengths"].sum(axis=1)
    places["keys"] = _keys_of(part).reshape(places["keys"].shape)
    return places


def _texts(example: Example) -> tuple[str, ...]:
    return (example.query, example.positive, *example.negatives)


def _keys_of(examples: Sequence[Example]) -> NDArray[np.uint64]:
    digests = [blake2b(text.encode(), digest_size=8).digest() for example in examples for text in _texts(example)]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _ids(model: "SentenceTransformer", prompt: str, texts: list[str]) -> list[list[int]]:
    encoded = model.tokenizer(
        [prompt + text for text in texts] if prompt else texts,
        truncation=True,
        max_length=model.max_seq_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    found: list[list[int]] = encoded["input_ids"]
    return found


def _prompts(model: "SentenceTransformer", names: Sequence[str]) -> list[str]:
    """Return the prompt of each column, since training must see texts as serving will."""
    document = next((name for name in ("document", "passage", "corpus") if name in model.prompts), "")
    return [(model.prompts.get("query" if name == "query" else document) or "") for name in names]


class TokenCollator:
    """Rows of token ids as the padded tensors that sentence-transformers' trainer expects."""

    def __init__(self, model: "SentenceTransformer", negatives: int) -> None:
        self.valid_label_columns: list[str] = []  # read by the trainer: no column of texts is a label
        names = columns(negatives)
        self._padding = model.tokenizer.pad_token_id or 0
        self._has_types = "token_type_ids" in model.tokenizer.model_input_names
        self._prompt_lengths = {
            name: model.preprocess([""], prompt=prompt).get("prompt_length")
            for name, prompt in zip(names, _prompts(model, names), strict=True)
            if prompt
        }

    def __call__(self, rows: list[dict[str, TokenIds]]) -> dict[str, Any]:
        """Tensors of shape (rows, longest text), int64: ``<column>_input_ids``, ``<column>_attention_mask``, ….

        A teacher's scores are ``label``, of shape (rows, passages), float32.
        """
        import torch

        batch: dict[str, Any] = {}
        if LABEL in rows[0]:
            batch[LABEL] = torch.from_numpy(np.stack([row[LABEL] for row in rows]))
        for name in (name for name in rows[0] if name != LABEL):
            ids, mask = self._padded([row[name] for row in rows])
            batch[f"{name}_input_ids"], batch[f"{name}_attention_mask"] = ids, mask
            if self._has_types:
                batch[f"{name}_token_type_ids"] = ids.new_zeros(ids.shape)
            if (length := self._prompt_lengths.get(name)) is not None:
                batch[f"{name}_prompt_length"] = length
        return batch

    def _padded(self, texts: list[TokenIds]) -> tuple["Tensor", "Tensor"]:
        import torch

        lengths = np.array([len(text) for text in texts])
        ids = np.full((len(texts), lengths.max()), self._padding, dtype=np.int64)
        for place, text in enumerate(texts):
            ids[place, : len(text)] = text
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))

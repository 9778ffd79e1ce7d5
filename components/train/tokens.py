"""Training examples as token ids: tokenised once, kept on disk, read through a memory map.

<folder>/tokens.arrow   one row for each example, one column of token ids for each text
<folder>/keys.npy       uint64 of shape (examples, texts): equal texts have equal keys
<folder>/tokens.json    the columns and their prompts; written last
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.train.examples import Example

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

_TOKENS, _KEYS, _DONE = "tokens.arrow", "keys.npy", "tokens.json"
_TEXTS = 4096  #: tokenised at once


class TokenisedExamples(NamedTuple):
    """What training reads."""

    rows: "Dataset"  #: token ids by column, memory-mapped
    keys: NDArray[np.uint64]  #: (examples, texts), memory-mapped
    triplets: int  #: of the data that the examples stand for


def columns(negatives: int) -> tuple[str, ...]:
    """The columns of examples with so many negatives."""
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
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    names = columns(negatives)
    ids = pa.list_(pa.uint16() if len(model.tokenizer) <= 2**16 else pa.int32())
    schema = pa.schema([(name, ids) for name in names])
    count = triplets = 0
    with (
        (folder / _KEYS).open("wb") as keys,
        pa.OSFile(str(folder / _TOKENS), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        for chunk in examples:
            for start in range(0, len(chunk), _TEXTS):
                part = chunk[start : start + _TEXTS]
                texts = [[text for text in column] for column in zip(*map(_texts, part), strict=True)]
                arrays = [
                    pa.array(_ids(model, prompt, column), type=ids)
                    for prompt, column in zip(_prompts(model, names), texts, strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                keys.write(_keys_of(part).tobytes())
                count += len(part)
                triplets += sum(example.triplets for example in part)
    (folder / _DONE).write_text(
        json.dumps({"examples": count, "triplets": triplets, "columns": names}), encoding="utf-8"
    )
    return open_tokens(folder)


def has_tokens(folder: Path) -> bool:
    """Whether a call of `tokenise` came to its end in this folder."""
    return (folder / _DONE).is_file()


def open_tokens(folder: Path) -> TokenisedExamples:
    """Open what `tokenise` wrote."""
    from datasets import Dataset

    told = json.loads((folder / _DONE).read_text(encoding="utf-8"))
    shape = (told["examples"], len(told["columns"]))
    keys = np.memmap(folder / _KEYS, dtype=np.uint64, mode="r", shape=shape)
    return TokenisedExamples(Dataset.from_file(str(folder / _TOKENS)), keys, told["triplets"])


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
    """The prompt of each column, since training must see texts as serving will."""
    document = next((name for name in ("document", "passage", "corpus") if name in model.prompts), "")
    return [(model.prompts.get("query" if name == "query" else document) or "") for name in names]


class TokenCollator:
    """Rows of token ids as the padded tensors that sentence-transformers' trainer expects."""

    def __init__(self, model: "SentenceTransformer", negatives: int) -> None:
        self.valid_label_columns: list[str] = []  # read by the trainer: there are no labels
        names = columns(negatives)
        self._padding = model.tokenizer.pad_token_id or 0
        self._has_types = "token_type_ids" in model.tokenizer.model_input_names
        self._prompt_lengths = {
            name: model.preprocess([""], prompt=prompt).get("prompt_length")
            for name, prompt in zip(names, _prompts(model, names), strict=True)
            if prompt
        }

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        """Tensors of shape (rows, longest text), int64: ``<column>_input_ids``, ``<column>_attention_mask``, …."""
        batch: dict[str, Any] = {}
        for name in rows[0]:
            ids, mask = self._padded([row[name] for row in rows])
            batch[f"{name}_input_ids"], batch[f"{name}_attention_mask"] = ids, mask
            if self._has_types:
                batch[f"{name}_token_type_ids"] = ids.new_zeros(ids.shape)
            if (length := self._prompt_lengths.get(name)) is not None:
                batch[f"{name}_prompt_length"] = length
        return batch

    def _padded(self, texts: list[list[int]]) -> tuple["Tensor", "Tensor"]:
        import torch

        lengths = torch.tensor([len(text) for text in texts])
        ids = torch.full((len(texts), int(lengths.max())), self._padding)
        for place, text in enumerate(texts):
            ids[place, : len(text)] = torch.tensor(text)
        return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()

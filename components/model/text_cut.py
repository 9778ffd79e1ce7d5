"""Where a long text may be cut so that its first tokens stay what they are.

A model reads the first `max_seq_length` tokens of a text, and a tokenizer makes all of them before it drops the rest:
seconds for a text that somebody chose. A tokenizer that splits at a character whatever stands around it (a space, for
BERT's also punctuation and ideographs) makes the same tokens of what stands before that character, with or without
what follows. What follows from this module's rules holds for the normalizers and pre-tokenizers that it knows; a text
for any other tokenizer is not cut.
"""

import json
import re
from typing import Any

_SPACE = " "
_PUNCTUATION = "".join(chr(code) for code in range(33, 127) if not chr(code).isalnum())
_BACK = 2000  # characters that are searched backwards, for a boundary before the wanted length

# They work character by character, or only at the ends of a text.
_LOCAL_NORMALIZERS = {
    "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Strip",
    "StripAccents",
}  # fmt: skip
_SPACES = (" {2,}", r"\s+")  # expressions that match nothing but white space
_SPLIT_AT_SPACES = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_ONLY_SPLIT_MORE = {"Punctuation", "Digits"}


class TextCut:
    """Cuts texts for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        boundaries = _boundaries(tokenizer)
        self._boundaries = frozenset(boundaries)
        ideographs = "\u4e00-\u9fff" if "\u4e00" in boundaries else ""
        plain = re.escape("".join(char for char in boundaries if char != "\u4e00"))
        self._next = re.compile(f"(?<=\\S)[{plain}{ideographs}]") if boundaries else None

    def cut(self, text: str, length: int) -> str:
        """Return the text up to a boundary near `length`; whole when it is not longer, or has no boundary."""
        if len(text) <= length or self._next is None:
            return text
        for position in range(length, max(0, length - _BACK), -1):
            if self._is_boundary(text[position]) and not text[position - 1].isspace():
                return text[:position]
        found = self._next.search(text, length)
        return text if found is None else text[: found.start()]

    def _is_boundary(self, char: str) -> bool:
        return char in self._boundaries or ("\u4e00" <= char <= "\u9fff" and "\u4e00" in self._boundaries)


def _boundaries(tokenizer: Any) -> str:
    """Return the characters before which a text may be cut; U+4E00 stands for all ideographs of its block."""
    normalizers = _parts(tokenizer.normalizer, "normalizers")
    splitters = _parts(tokenizer.pre_tokenizer, "pretokenizers")
    if not all(map(_is_local, normalizers)) or not _splits_at_spaces(splitters):
        return ""
    chars = _SPACE
    if any(part["type"] == "BertPreTokenizer" for part in splitters):
        chars += _PUNCTUATION
        if any(part["type"] == "BertNormalizer" and part["handle_chinese_chars"] for part in normalizers):
            chars += "\u4e00"
    inside = _chars_inside(tokenizer, normalizers)
    return "".join(char for char in chars if char not in inside)


def _chars_inside(tokenizer: Any, normalizers: list[dict[str, Any]]) -> set[str]:
    """Characters within what is found in a text before anything splits it: a cut must not go through one."""
    whole = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    whole += [part["pattern"].get("String", "") for part in normalizers if part["type"] == "Replace"]
    inside = {char for found in whole for char in found[1:]}
    return inside | {"\u4e00" for char in inside if "\u4e00" <= char <= "\u9fff"}


def _parts(component: Any, name: str) -> list[dict[str, Any]]:
    """Return what a normalizer or pre-tokenizer says of itself, sequences taken apart."""
    if component is None:
        return []
    return _flat(json.loads(component.__getstate__()), name)


def _flat(part: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if part["type"] != "Sequence":
        return [part]
    return [inner for one in part[name] for inner in _flat(one, name)]


def _is_local(normalizer: dict[str, Any]) -> bool:
    if normalizer["type"] == "Replace":
        return normalizer["pattern"].get("Regex", _SPACES[0]) in _SPACES
    return normalizer["type"] in _LOCAL_NORMALIZERS


def _splits_at_spaces(splitters: list[dict[str, Any]]) -> bool:
    splits = [_splits_at_space(part) for part in splitters]
    known = all(split or part["type"] in _ONLY_SPLIT_MORE for part, split in zip(splitters, splits, strict=True))
    return known and any(splits)


def _splits_at_space(splitter: dict[str, Any]) -> bool:
    if splitter["type"] == "ByteLevel":
        return bool(splitter.get("use_regex", True))
    if splitter["type"] == "Metaspace":
        return bool(splitter.get("split", True))
    return splitter["type"] in _SPLIT_AT_SPACES

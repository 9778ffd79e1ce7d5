"""The Open Inference Protocol's tensors: read with every size checked before anything of that size is made."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictor.refusal import bad_request, invalid
from predictor.settings import PredictorSettings

MAX_TENSORS = 16  #: of a request; two are read
_MAX_RANK = 8
_NOT_TEXTS = "The input '{}' does not hold UTF-8 texts in the shape that it states."


class Wanted(NamedTuple):
    """How the scores are to be written."""

    binary: bool


class TensorQuery(NamedTuple):
    """What a v2 request asks, however it came."""

    id: str
    query: str
    documents: list[str]
    wanted: Wanted


class TensorAnswer(NamedTuple):
    """What a v2 request is answered with."""

    scores: NDArray[np.float32]


class TensorReader:
    """Reads the texts of one request's tensors."""

    def __init__(self, settings: PredictorSettings) -> None:
        self._most = settings.max_documents + 1

    def volume(self, name: str, datatype: str, shape: Sequence[Any]) -> int:
        """How many texts a tensor says it has.

        Raises:
            RefusalError: when it is not one of texts, or has more than a request may.
        """
        if datatype != "BYTES":
            raise invalid(f"The input '{name}' must have datatype BYTES.")
        if len(shape) > _MAX_RANK:
            raise invalid(f"The shape of the input '{name}' has more than {_MAX_RANK} dimensions.")
        volume = 1
        for size in shape:
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise invalid(f"The shape of the input '{name}' must be whole numbers, none below 0.")
            volume *= size
        if volume > self._most:
            raise invalid(
                f"The input '{name}' has {_shown(volume)} elements where {self._most} is the limit "
                "(--max_documents sets it)."
            )
        return volume

    def from_json(self, name: str, data: Any, volume: int) -> list[str]:
        """Return the texts of a list, nested or flat."""
        texts: list[str] = []
        for element in _flat(data):
            if not isinstance(element, str) or len(texts) == volume:
                raise invalid(_NOT_TEXTS.format(name))
            texts.append(element)
        if len(texts) != volume:
            raise invalid(_NOT_TEXTS.format(name))
        return texts

    def from_bytes(self, name: str, data: bytes, volume: int) -> list[str]:
        """Return the texts of the binary form: each one after its length in 4 bytes."""
        elements = list(self._elements(name, data, volume))
        if len(elements) != volume:
            raise bad_request(_NOT_TEXTS.format(name))
        return self.from_elements(name, elements, volume)

    def from_elements(self, name: str, elements: Sequence[bytes], volume: int) -> list[str]:
        """Return the texts of elements that were told apart before."""
        if len(elements) != volume:
            raise bad_request(_NOT_TEXTS.format(name))
        try:
            return [element.decode("utf-8") for element in elements]
        except UnicodeDecodeError:
            raise bad_request(_NOT_TEXTS.format(name)) from None

    def _elements(self, name: str, data: bytes, volume: int) -> Iterator[bytes]:
        start = 0
        for _ in range(volume + 1):
            if start == len(data):
                return
            if start + 4 > len(data):
                break
            (size,) = struct.unpack_from("<I", data, start)
            start += 4 + size
            if start > len(data):
                break
            yield data[start - size : start]
        raise bad_request(_NOT_TEXTS.format(name))


def checked(queries: list[str], documents: list[str], request_id: str, wanted: Wanted) -> TensorQuery:
    """Return the request that the two tensors make together.

    Raises:
        RefusalError: when there is not one query, or nothing to compare it with.
    """
    if len(queries) != 1:
        raise invalid(f"The input 'query' has {len(queries)} elements and must have 1.")
    if not documents or not queries[0]:
        raise invalid("The inputs 'query' and 'documents' must not be empty.")
    return TensorQuery(request_id, queries[0], documents, wanted)


def missing_inputs() -> Exception:
    """Return the request does not have the two tensors."""
    return invalid("The request needs two inputs of datatype BYTES, named 'query' and 'documents'.")


def _flat(data: Any) -> Iterator[Any]:
    """Yield the elements of nested lists; how many and how deep was checked when the body came."""
    stack = [iter([data])]
    while stack:
        for element in stack[-1]:
            if isinstance(element, list):
                stack.append(iter(element))
                break
            yield element
        else:
            stack.pop()


def _shown(number: int) -> str:
    return str(number) if number < 10**15 else "too many"

"""The Open Inference Protocol's tensors: read with every size checked before anything of that size is made."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from predictor.refusal import bad_request, invalid

MAX_TENSORS = 16  #: of a request; two are read
_MAX_RANK = 8
_NOT_TEXTS = "The input '{}' does not hold UTF-8 texts in the shape that it states."


class Limit(NamedTuple):
    """How many elements an input may have, and the setting that says so."""

    most: int
    setting: str


class Schema(NamedTuple):
    """The tensors of one model."""

    inputs: Mapping[str, Limit]  #: texts; others are ignored
    needed: tuple[str, ...]  #: inputs without which there is no answer
    outputs: tuple[str, ...]

    def missing(self) -> Exception:
        """Return the refusal of a request that does not have the inputs."""
        names = " and ".join(f"'{name}'" for name in self.needed)
        count = {1: "an input", 2: "two inputs"}[len(self.needed)]
        return invalid(f"The request needs {count} of datatype BYTES, named {names}.")

    def no_output(self) -> Exception:
        """Return the refusal of a request for an output that the model does not have."""
        return bad_request(f"There is no such output; this model has {', '.join(map(repr, self.outputs))}.")


class Asked(NamedTuple):
    """What a v2 request asks, however it came."""

    id: str
    texts: Mapping[str, list[str]]  #: by input
    parameters: Mapping[str, Any]
    wanted: Mapping[str, bool] | None  #: outputs that are named, and whether each is to be binary; None for all
    binary: bool  #: whether outputs are, of which the request says nothing

    def as_binary(self, name: str) -> bool | None:
        """Whether an output is to be written in binary; None where it is not asked for."""
        return self.binary if self.wanted is None else self.wanted.get(name)


class Tensor(NamedTuple):
    """One output: a row of numbers, or of texts."""

    name: str
    datatype: str  #: FP32, INT32 or BYTES
    values: NDArray[Any] | list[str]

    def to_bytes(self) -> bytes:
        """Return the binary form: little-endian numbers, or each text after its length in 4 bytes."""
        if isinstance(self.values, list):
            encoded = [text.encode("utf-8") for text in self.values]
            return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
        return bytes(self.values.astype(self.values.dtype.newbyteorder("<")).tobytes())


class TensorReader:
    """Reads the texts of one request's tensors.

    Args:
        schema: of the model that is asked.
    """

    def __init__(self, schema: Schema) -> None:
        self._inputs = schema.inputs

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
        limit = self._inputs[name]
        if volume > limit.most:
            raise invalid(
                f"The input '{name}' has {_shown(volume)} elements where {limit.most} is the limit "
                f"(--{limit.setting} sets it)."
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

"""How many fields a gRPC request has, told from its bytes before protobuf makes an object of each.

4 MB can be two million tensors, which take protobuf 80 ms at a stretch; a scan stops at the first field too many.
"""

from collections.abc import Iterator
from typing import NamedTuple

from predictor.refusal import bad_request, invalid

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types
_INPUTS, _SHAPE, _CONTENTS, _BYTES_CONTENTS = 5, 3, 5, 8  # field numbers of ModelInferRequest and of what is in it
_MAX_NUMBERS = 1024  #: bytes of a shape, or of contents that are numbers, which no request for texts needs


class Field(NamedTuple):
    """Where a field's value is."""

    number: int
    start: int
    end: int


class WireScan:
    """Walks the fields of one message, and refuses it when they are too many."""

    def __init__(self, message: bytes, most_fields: int) -> None:
        self._message = message
        self._most = most_fields
        self._left = most_fields

    def check_infer_request(self) -> None:
        """Make sure that a ModelInferRequest has no more fields than a request for this model needs.

        Raises:
            RefusalError: when it has more, or is no message.
        """
        for field in self._fields(0, len(self._message)):
            if field.number == _INPUTS:
                self._check_input(field)

    def _check_input(self, tensor: Field) -> None:
        for field in self._fields(tensor.start, tensor.end):
            if field.number == _SHAPE:
                self._check_numbers(field)
            elif field.number == _CONTENTS:
                for content in self._fields(field.start, field.end):
                    if content.number != _BYTES_CONTENTS:
                        self._check_numbers(content)

    def _check_numbers(self, field: Field) -> None:
        if field.end - field.start > _MAX_NUMBERS:
            raise invalid("A shape has too many dimensions, or an input holds numbers where texts are read.")

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise invalid(f"The request has more than {self._most} fields; send fewer texts at a time.")
            key, start = self._varint(start, end)
            length, start = self._length(key & 7, start, end)
            if start + length > end:
                raise _malformed()
            yield Field(key >> 3, start, start + length)
            start += length

    def _length(self, wire_type: int, start: int, end: int) -> tuple[int, int]:
        """How long a value is, and where it starts."""
        if wire_type == _BYTES:
            return self._varint(start, end)
        if wire_type == _VARINT:
            return self._varint(start, end)[1] - start, start
        if wire_type in {_FIXED64, _FIXED32}:
            return (8 if wire_type == _FIXED64 else 4), start
        raise _malformed()

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """Return a number of up to 10 bytes, and where it ends."""
        number = 0
        for position in range(start, min(start + 10, end)):
            byte = self._message[position]
            number |= (byte & 127) << 7 * (position - start)
            if byte < 128:
                return number, position + 1
        raise _malformed()


def _malformed() -> Exception:
    return bad_request("The request is not a message of this protocol.")

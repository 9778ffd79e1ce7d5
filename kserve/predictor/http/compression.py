"""Compressed request bodies, made plain piece by piece: a megabyte of gzip can hold a gigabyte of zeros."""

import zlib
from collections.abc import Iterator

from predictor.refusal import RefusalError

ACCEPTED = "gzip, deflate"
_PIECE = 1 << 16
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Inflation:
    """Makes the pieces of one compressed body plain."""

    def __init__(self, encoding: bytes) -> None:
        """Choose the decoder for `encoding`, the value of a Content-Encoding header.

        Raises:
            RefusalError: 415 for an encoding that is not accepted.
        """
        bits = _WINDOW_BITS.get(encoding.strip().lower())
        if bits is None:
            raise RefusalError(
                415,
                f"The request's Content-Encoding is not accepted; send it as it is, or as one of {ACCEPTED}.",
                headers={"Accept-Encoding": ACCEPTED},
            )
        self._stream = zlib.decompressobj(bits)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Plain pieces of at most 64 kB, made as they are asked for.

        Raises:
            RefusalError: 400 when the body is not what its Content-Encoding says.
        """
        more = bool(piece)
        while more:
            if self._stream.eof:
                raise _damaged()  # something follows the end
            try:
                plain = self._stream.decompress(piece, _PIECE)
            except zlib.error:
                raise _damaged() from None
            yield plain
            piece = self._stream.unconsumed_tail or self._stream.unused_data
            more = bool(piece) or (len(plain) == _PIECE and not self._stream.eof)

    def check_end(self) -> None:
        """Make sure that the body has ended where its format says.

        Raises:
            RefusalError: 400 when it ended too early.
        """
        if not self._stream.eof:
            raise _damaged()


def _damaged() -> RefusalError:
    return RefusalError(400, "The request body is not in the format that its Content-Encoding states.")

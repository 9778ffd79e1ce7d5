"""The predictor with faults that it should not have: run as `python -m tests.kserve.broken_predictor`."""

import sys
from typing import Any

from predictor.lean_kserve import use_lean_kserve

use_lean_kserve()

from fastapi import Request  # noqa: E402 - kserve must be imported lean first, as in the predictor itself
from fastapi.responses import StreamingResponse  # noqa: E402

from components.model.encoder import Encoder  # noqa: E402
from predictor.http.server import app  # noqa: E402
from predictor.server import main  # noqa: E402
from tests.kserve.panics import PANIC  # noqa: E402


class PanicError(BaseException):
    """As pyo3 raises it: no Exception."""


@app.post("/broken")
async def broken(request: Request) -> None:
    """Fail, quoting the request as exceptions of libraries do."""
    raise ValueError((await request.body()).decode())


@app.post("/broken/panic")
async def broken_panic(request: Request) -> None:
    """Fail as a library of Rust does."""
    raise PanicError((await request.body()).decode())


@app.post("/broken/halfway")
async def broken_halfway(request: Request) -> StreamingResponse:
    """Fail when a part of the answer is out."""
    text = (await request.body()).decode()

    async def parts() -> Any:
        yield b"the first half "
        raise ValueError(text)

    return StreamingResponse(parts())


def _tokenize_or_panic(self: Encoder, texts: Any) -> Any:
    if any(PANIC in text for text in texts):
        raise PanicError(texts)
    return _TOKENIZE(self, texts)


_TOKENIZE = Encoder.tokenize

if __name__ == "__main__":
    Encoder.tokenize = _tokenize_or_panic  # type: ignore[method-assign]
    sys.exit(main())

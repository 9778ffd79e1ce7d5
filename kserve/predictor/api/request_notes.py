"""What is noted about one request on its way: its id, and the model that answers it."""

from typing import Any

from predictor.engine.served import Served

_KEY = "ranklift"


class RequestNotes:
    """Travels in the ASGI scope; whoever handles the request adds to it."""

    __slots__ = ("request_id", "served")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.served: Served | None = None  #: the model that this request is answered with, once it is chosen

    def put_into(self, scope: Any) -> None:
        """Let the application find the notes in the request's scope."""
        scope[_KEY] = self


def notes_of(scope: Any) -> RequestNotes:
    """Return the notes of the request with this scope; empty ones when the middleware made none."""
    notes = scope.get(_KEY)
    return notes if isinstance(notes, RequestNotes) else RequestNotes("")

"""The connections of one server: how many there are, and how much of their answers nobody has read yet."""

from collections import OrderedDict
from typing import Protocol


class Abortable(Protocol):
    """What is counted here: a connection."""

    def abort(self) -> None:
        """Close at once."""


class Connections:
    """Keeps to its limits by letting go the connections that have kept the server waiting for longest."""

    def __init__(self, limit: int, max_unread_bytes: int) -> None:
        self._limit = limit
        self._max_unread_bytes = max_unread_bytes
        self._all: set[Abortable] = set()
        self._waiting_for_client: OrderedDict[Abortable, None] = OrderedDict()
        self._unread: OrderedDict[Abortable, int] = OrderedDict()

    def admit(self, connection: Abortable) -> bool:
        """Count a new connection; close the connection that has waited longest for its client. False when none can."""
        if len(self._all) >= self._limit:
            if not self._waiting_for_client:
                return False
            oldest = next(iter(self._waiting_for_client))
            self.forget(oldest)
            oldest.abort()
        self._all.add(connection)
        self._waiting_for_client[connection] = None
        return True

    def forget(self, connection: Abortable) -> None:
        """Forget a connection that has ended."""
        self._all.discard(connection)
        self._waiting_for_client.pop(connection, None)
        self._unread.pop(connection, None)

    def waits_for_client(self, connection: Abortable) -> None:
        """Note that it is the client's turn: to send, or to read."""
        if connection in self._all:
            self._waiting_for_client[connection] = None
            self._waiting_for_client.move_to_end(connection)

    def waits_for_server(self, connection: Abortable) -> None:
        """Note that it is the server's turn: a request is whole and not answered."""
        self._waiting_for_client.pop(connection, None)

    def hold_unread(self, connection: Abortable, size: int) -> None:
        """Count an answer that waits to be read; beyond the limit, drop the answer that has waited longest."""
        self._unread[connection] = size
        while sum(self._unread.values()) > self._max_unread_bytes:
            slowest, _ = self._unread.popitem(last=False)
            slowest.abort()

    def release_unread(self, connection: Abortable) -> None:
        """Note that an answer was read."""
        self._unread.pop(connection, None)

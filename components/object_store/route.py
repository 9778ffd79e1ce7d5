"""The HTTP connections of an object store's client, over sockets of this machine's network or over another way.

The way changes where a socket leads and nothing else: host name, signature and the check of a TLS certificate stay
those of the endpoint.
"""

import socket
from collections.abc import Callable
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from components.object_store.settings import ObjectStoreSettings

Dial = Callable[[], socket.socket]  #: a socket that is connected to the store

_CONNECTIONS = 32
_CONNECT = 10.0  # seconds


def http_client(settings: ObjectStoreSettings, dial: Dial | None) -> urllib3.PoolManager:
    """Return a pool of connections to the store; made by `dial` if set."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=min(_CONNECT, settings.timeout), read=settings.timeout),
        maxsize=_CONNECTIONS,
        retries=False,
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(settings.ca_file or certifi.where()),
    )
    if dial is not None:
        pool.pool_classes_by_scheme = {"http": _plain(dial), "https": _secure(dial)}
    return pool


def _plain(dial: Dial) -> type[HTTPConnectionPool]:
    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _dialled(dial, self.timeout)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    return Pool


def _secure(dial: Dial) -> type[HTTPSConnectionPool]:
    class Connection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _dialled(dial, self.timeout)

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


def _dialled(dial: Dial, timeout: Any) -> socket.socket:
    connection = dial()
    connection.settimeout(timeout)
    return connection

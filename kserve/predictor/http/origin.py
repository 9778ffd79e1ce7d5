"""Who may ask a server on loopback: no page of another site, whatever name it resolves to this machine.

A browser lets any page send requests to 127.0.0.1, and a page whose own name was made to resolve there (DNS rebinding)
even read the answers. Both say who they are: in the Host header, and in Sec-Fetch-Site.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from predictor.refusal import RefusalError

_LOCAL_NAMES = ("localhost", "localhost.localdomain")


@lru_cache(maxsize=32)
def is_loopback(host: str) -> bool:
    """Whether an address to listen on, or a name in a Host header, is this machine's alone."""
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class OriginCheck:
    """Refuses requests of other sites' pages."""

    def __init__(self, listening_on: str, allowed_hosts: str, cors_origins: str) -> None:
        """`allowed_hosts`: names beside loopback's, separated by commas; ``*`` allows any."""
        names = names_of(allowed_hosts)
        self._checks_host = is_loopback(listening_on) and "*" not in names
        self._names = {name.lower() for name in names}
        self._sites = set(names_of(cors_origins))

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass.

        Raises:
            RefusalError: 421 for a Host that is not this machine's, 403 for a request of another site's page.
        """
        if self._checks_host and (host := headers.get(b"host")):
            name = _name_of(host.decode("latin-1").lower())
            if name not in self._names and not is_loopback(name):
                raise RefusalError(
                    421,
                    "This server listens on loopback and answers for localhost alone; set "
                    "RANKLIFT_PREDICTOR_ALLOWED_HOSTS where it has another name.",
                )
        is_cross_site = headers.get(b"sec-fetch-site", b"") == b"cross-site"
        if is_cross_site and method not in {"GET", "HEAD", "OPTIONS"} and not self._allows(headers):
            raise RefusalError(
                403, "A page of another site sent this request; RANKLIFT_PREDICTOR_CORS_ORIGINS allows sites."
            )

    def _allows(self, headers: Mapping[bytes, bytes]) -> bool:
        return "*" in self._sites or headers.get(b"origin", b"").decode("latin-1") in self._sites


def names_of(setting: str) -> list[str]:
    """Return the names in a setting that separates them by commas."""
    return [name.strip() for name in setting.split(",") if name.strip()]


def _name_of(host: str) -> str:
    """Return the name of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")

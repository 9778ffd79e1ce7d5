"""Which model gave an answer: named in every answer, and demanded by a request that must not get another one's."""

import re
from typing import Any

from predictor.api.request_notes import notes_of
from predictor.engine.served import Served
from predictor.engine.switchboard import Switchboard
from predictor.refusal import RefusalError

VERSION_HEADER = "X-Ranklift-Model-Version"
DIGEST_HEADER = "X-Ranklift-Model-Digest"

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,80}")


def version_headers(served: Served) -> dict[str, str]:
    """Return the headers, or gRPC trailers in lower case, that name a model."""
    return {VERSION_HEADER: served.version, DIGEST_HEADER: served.digest}


def asgi_version_headers(served: Served) -> list[tuple[bytes, bytes]]:
    """Return the same headers as ASGI takes them."""
    return [(name.lower().encode("ascii"), value.encode()) for name, value in version_headers(served).items()]


def version_fields(served: Served) -> dict[str, str]:
    """Return the fields that name a model in an answer's body."""
    return {"model_version": served.version, "model_digest": served.digest}


def chosen(switchboard: Switchboard, scope: Any, model: str | None = None) -> Served:
    """Return the model that answers a request, noted for the answer's headers.

    Args:
        switchboard: the models in service.
        scope: the ASGI scope of the request.
        model: what the request names; ``ranklift@V3`` demands that version, any name without ``@`` is taken as said.

    Raises:
        RefusalError: 409 when another version is in service, 404 for a version of a model that is not here, 503 before
            the first model is warm.
    """
    served = switchboard.current
    notes_of(scope).served = served
    check_demand(served, switchboard.settings.model_name, model)
    return served


def check_demand(served: Served, model_name: str, model: str | None) -> None:
    """Refuse a request that demands another version than the one in service; see `chosen`."""
    name, at, version = (model or "").rpartition("@")
    if not at:
        return
    if name.rpartition("/")[2] != model_name:  # clients put their provider's name and a slash before it
        raise RefusalError(404, f"There is no such model; this server has {model_name}@{served.version}.")
    check_version(served, model_name, version)


def check_version(served: Served, model_name: str, version: str) -> None:
    """Refuse a version or digest that is not the one in service.

    Raises:
        RefusalError: 409, naming both.
    """
    if version not in {served.version, served.digest}:
        raise RefusalError(
            409,
            f"The request demands {demanded(version)} of {model_name}, and {served.version} ({served.digest[:12]}) is "
            "in service; embeddings of two versions must not be mixed.",
        )


def demanded(version: str) -> str:
    """Return the version that a request demands, as a refusal may repeat it."""
    return version if _PLAIN.fullmatch(version) else "another version"

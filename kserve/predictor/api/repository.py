"""The model repository, as Triton's extension lists it over REST and gRPC: one model, and the search in its index."""

from pydantic import BaseModel

from predictor.api.search_model import search_model_name
from predictor.engine.switchboard import Switchboard

READY = "READY"


class ModelIndex(BaseModel):
    """One model of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""


def names_of(switchboard: Switchboard) -> list[str]:
    """Return the models of the repository: the one in service, and the search in its index where it has one."""
    name, served = switchboard.settings.model_name, switchboard.served
    return [name] if served is None or served.index is None else [name, search_model_name(name)]


def entries_of(switchboard: Switchboard) -> list[dict[str, str]]:
    """Return the entries of the repository's index."""
    served = switchboard.served
    version = "" if served is None else served.version
    state, reason = (READY, "") if switchboard.ready else ("UNAVAILABLE", "loading or draining")
    return [{"name": name, "version": version, "state": state, "reason": reason} for name in names_of(switchboard)]

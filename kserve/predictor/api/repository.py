"""The model repository of one model, as Triton's extension lists it over REST and gRPC."""

from pydantic import BaseModel

from predictor.engine.switchboard import Switchboard

READY = "READY"


class ModelIndex(BaseModel):
    """One model of the repository."""

    name: str
    version: str
    state: str
    reason: str = ""


def entry_of(switchboard: Switchboard) -> dict[str, str]:
    """Return the entry of the one model in the repository's index."""
    served = switchboard.served
    version = "" if served is None else served.version
    state, reason = (READY, "") if switchboard.ready else ("UNAVAILABLE", "loading or draining")
    return {"name": switchboard.settings.model_name, "version": version, "state": state, "reason": reason}

"""The few settings that are about this machine and not about a run; read from the environment when asked for."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MachineSettings(BaseSettings):
    """What the environment says about this machine.

    ``RANKLIFT_HOME`` is where ranklift keeps its data, ``.ranklift`` in the working folder by default;
    ``RANKLIFT_CACHE`` is where stages keep what they may reuse in a later run, nowhere by default;
    ``RANKLIFT_SERVING_URL`` is the predictor that serves what `deploy` puts into the data folder, when it is no process
    that `ranklift serve` started: in containers, ``http://predictor:8080``.
    """

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore")

    home: Path = Path(".ranklift")
    cache: Path | None = None
    serving_url: str = Field("", pattern=r"^(https?://[^/\s]+)?$")


def home_directory() -> Path:
    """Return the absolute path of ranklift's data folder."""
    return MachineSettings().home.absolute()


def cache_directory(name: str) -> Path | None:
    """Return the folder of one cache; None where nothing is to be kept between runs."""
    cache = MachineSettings().cache
    return cache.absolute() / name if cache else None


def serving_url() -> str:
    """Where the predictor answers that is no process of this machine; empty when none was named."""
    return MachineSettings().serving_url

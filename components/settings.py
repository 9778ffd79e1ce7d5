"""The few settings that are about this machine and not about a run; read from the environment when asked for."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class MachineSettings(BaseSettings):
    """What the environment says about this machine.

    ``RANKLIFT_HOME`` is where ranklift keeps its data, ``.ranklift`` in the working folder by default;
    ``RANKLIFT_CACHE`` is where stages keep what they may reuse in a later run, nowhere by default.
    """

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore")

    home: Path = Path(".ranklift")
    cache: Path | None = None


def home_directory() -> Path:
    """The absolute path of ranklift's data folder."""
    return MachineSettings().home.absolute()


def cache_directory(name: str) -> Path | None:
    """The folder of one cache; None where nothing is to be kept between runs."""
    cache = MachineSettings().cache
    return cache.absolute() / name if cache else None

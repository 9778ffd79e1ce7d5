"""``RANKLIFT_CHECKPOINTS``: where a training's checkpoints are kept beside the disk of the machine that trains."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: What it may be: ``off``, ``store`` for the configured object store's bucket, or another place in that store.
CHECKPOINTS = r"^(off|store|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./-]*)?)$"


class CheckpointSettings(BaseSettings):
    """The setting, as the environment has it."""

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_", extra="ignore", env_ignore_empty=True)

    checkpoints: str = Field("off", pattern=CHECKPOINTS)

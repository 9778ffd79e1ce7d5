"""What Kubeflow Pipelines 2.17 reads of the ConfigMap kfp-launcher.

Its own decoder passes over what it does not know, so a misspelt key is no error there, and a run's artifacts go
somewhere else. These models take the same fields and refuse all others.
"""

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SecretRef(_Part):
    secretName: str  # noqa: N815
    accessKeyKey: str  # noqa: N815
    secretKeyKey: str  # noqa: N815


class Credentials(_Part):
    fromEnv: bool = False  # noqa: N815
    secretRef: SecretRef | None = None  # noqa: N815

    @model_validator(mode="after")
    def _has_keys(self) -> "Credentials":
        if not self.fromEnv and self.secretRef is None:
            raise ValueError("without fromEnv, KFP needs a secretRef")
        return self


class Default(_Part):
    endpoint: str = Field(pattern=r"^https?://[^/]+$")
    credentials: Credentials
    region: str = ""
    disableSSL: bool = False  # noqa: N815
    forcePathStyle: bool = True  # noqa: N815
    maxRetries: int = 5  # noqa: N815


class Provider(_Part):
    default: Default


class Providers(_Part):
    s3: Provider


class LauncherConfig(_Part):
    defaultPipelineRoot: str = Field(pattern=r"^s3://[a-z0-9.-]+/.+")  # noqa: N815
    providers: Providers


def read_launcher(config_map: dict[str, Any]) -> LauncherConfig:
    """The configuration of a ConfigMap; raises a ValidationError where KFP would read something else than is meant."""
    data = dict(config_map["data"])
    return LauncherConfig.model_validate({**data, "providers": yaml.safe_load(data["providers"])})

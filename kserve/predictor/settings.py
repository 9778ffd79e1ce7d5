"""What can be set about a predictor: one typed place, read from flags and from the environment."""

import argparse
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.encoder import TOKEN_BUDGET


class PredictorSettings(BaseSettings):
    """The predictor's settings; a flag ``--name`` wins over ``RANKLIFT_PREDICTOR_NAME`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_PREDICTOR_", protected_namespaces=(), extra="forbid")

    model_dir: Path = Field(Path("/mnt/models"), description="Exported model to serve; a link to it may be moved.")
    model_name: str = Field("ranklift", pattern=r"^[A-Za-z0-9._-]+$", description="Name in the protocol's paths.")
    model_version: str = Field("", description="Version to report; from the directory's name (V3) when empty.")
    manifest_sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256 that the version's manifest must have (the champion's record says it); empty asks none.",
    )
    host: str = Field("0.0.0.0", description="Address to listen on; 127.0.0.1 for this machine only.")  # noqa: S104 - in a pod
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics alone; 0: it is on the HTTP port.")
    pages: bool = Field(True, description="Serve people too: / in a browser, /docs and /openapi.json.")
    threads: int = Field(0, ge=0, description="CPU threads for inference; 0: what this process may use.")

    max_body_bytes: int = Field(4 << 20, gt=0, description="Largest request body, bytes.")
    max_nesting: int = Field(32, gt=0, description="Deepest nesting of JSON in a request.")
    max_documents: int = Field(1000, gt=0, description="Most texts in one request.")
    max_characters: int = Field(100_000, gt=0, description="Longest text, characters.")
    body_timeout: float = Field(10.0, gt=0, description="Seconds within which a request must have arrived whole.")
    request_timeout: float = Field(30.0, gt=0, description="Seconds within which a request is answered or given up.")
    max_waiting_texts: int = Field(4096, gt=0, description="Texts that may wait for inference; beyond: status 429.")
    batch_tokens: int = Field(TOKEN_BUDGET, gt=0, description="Most tokens in one inference, padding included.")
    cache_megabytes: int = Field(64, ge=0, description="Size of the document embedding cache; 0 turns it off.")
    drain_delay: float = Field(0.0, ge=0, description="Seconds to keep accepting after SIGTERM, while not ready.")
    drain_timeout: int = Field(30, ge=1, description="Seconds for requests in flight to end after SIGTERM.")
    api_token: SecretStr | None = Field(None, description="Bearer token that requests must carry, when set.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each setting that the parser does not have yet; the token has none: it stays off `ps`."""
    taken = {action.dest for action in parser._actions}
    for name, field in PredictorSettings.model_fields.items():
        if name not in taken and name != "api_token":
            parser.add_argument(f"--{name}", default=None, help=f"{field.description} Default: {field.default}.")


def read_settings(arguments: argparse.Namespace, model_name: str | None) -> PredictorSettings:
    """Settings from the flags that were given, and from the environment for the rest.

    Raises:
        pydantic.ValidationError: when a value does not fit.
    """
    names = PredictorSettings.model_fields.keys() - {"model_name", "api_token"}
    given = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    if model_name is not None:
        given["model_name"] = model_name
    return PredictorSettings(**given)

"""What can be set about a predictor: one typed place, read from flags and from the environment."""

import argparse
import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.model.encoder import TOKEN_BUDGET
from components.model.served import MODEL_NAME
from predictor.environment import PREFIX, check_environment


class PredictorSettings(BaseSettings):
    """The predictor's settings; a flag ``--name`` wins over ``RANKLIFT_PREDICTOR_NAME`` in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, protected_namespaces=(), extra="forbid")

    model_dir: Path = Field(Path("/mnt/models"), description="Exported model to serve; a link to it may be moved.")
    model_name: str = Field(MODEL_NAME, pattern=r"^[A-Za-z0-9._-]+$", description="Name in the protocol's paths.")
    model_version: str = Field("", description="Version to report; default: the directory's name (V3).")
    manifest_sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="SHA-256 that the version's manifest must have (from the champion's record); empty: no check.",
    )
    index_dir: Path | None = Field(None, description="Index to search; default: the index beside the model.")
    index_version: str = Field("", description="The index version to report; default: the registry's.")
    index_manifest_sha256: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="SHA-256 that its manifest must have; empty: no check."
    )
    host: str = Field("0.0.0.0", description="Address to listen on; 127.0.0.1 for this machine only.")  # noqa: S104 - in a pod
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics alone; 0: it is on the HTTP port.")
    pages: bool = Field(True, description="Serve pages for people: /, /docs and /openapi.json.")
    threads: int = Field(0, ge=0, description="CPU threads for inference; 0: what this process may use.")

    max_body_bytes: int = Field(4 << 20, gt=0, description="Largest request body, bytes, after it was decompressed.")
    max_nesting: int = Field(32, gt=0, description="Deepest nesting of JSON in a request.")
    max_values: int = Field(50_000, gt=0, description="Most JSON values in one request.")
    max_documents: int = Field(1000, gt=0, description="Most documents in one request.")
    max_inputs: int = Field(2048, gt=0, description="Most texts to embed in one request.")
    max_hits: int = Field(10_000, gt=0, description="Most passages that one search gives, over all of its queries.")
    max_characters: int = Field(100_000, gt=0, description="Longest text, characters.")
    body_timeout: float = Field(10.0, gt=0, description="Seconds within which a request must have arrived completely.")
    write_timeout: float = Field(10.0, gt=0, description="Seconds within which a client must have read an answer.")
    request_timeout: float = Field(30.0, gt=0, description="Seconds within which a request is answered or dropped.")

    max_connections: int = Field(
        1000, gt=0, description="Most HTTP connections; a new one replaces the connection that is idle longest."
    )
    max_buffered_bytes: int = Field(32 << 20, gt=0, description="Bodies of all HTTP requests in progress, bytes.")
    max_unread_bytes: int = Field(64 << 20, gt=0, description="Answers that clients have not read yet, bytes.")
    max_waiting_texts: int = Field(8192, gt=0, description="Texts that may wait for inference; beyond: status 429.")
    max_waiting_characters: int = Field(16 << 20, gt=0, description="Characters of those texts; beyond: status 429.")
    max_grpc_calls: int = Field(64, gt=0, description="Most gRPC calls in progress.")

    batch_tokens: int = Field(TOKEN_BUDGET, gt=0, description="Most tokens in one inference, padding included.")
    cache_megabytes: int = Field(64, ge=0, description="Size of the document embedding cache; 0 turns it off.")
    drain_delay: float = Field(0.0, ge=0, description="Seconds to keep accepting after SIGTERM, while not ready.")
    drain_timeout: int = Field(30, ge=1, description="Seconds for requests in progress to end after SIGTERM.")
    allowed_hosts: str = Field("", description="Host names to answer for on loopback, beside localhost; * for any.")
    cors_origins: str = Field("", description="Sites whose pages may ask (https://a.example, …); * for any.")
    api_token: SecretStr | None = Field(None, description="Bearer token that requests must carry, when set.")

    @field_validator("api_token")
    @classmethod
    def _is_a_token(cls, value: SecretStr | None) -> SecretStr | None:
        token = None if value is None else value.get_secret_value()
        if token is not None and (not token or not token.isascii() or any(map(str.isspace, token))):
            raise ValueError(
                "it is empty, or has white space or characters outside ASCII, which no client can send; set a token, "
                "or remove the variable to serve without"
            )
        return value

    @model_validator(mode="after")
    def _budgets_hold_a_request(self) -> Self:
        if self.max_buffered_bytes < self.max_body_bytes:
            raise ValueError(
                "max_buffered_bytes must be at least max_body_bytes, or no request of that size could come"
            )
        if self.max_waiting_characters < self.max_characters:
            raise ValueError("max_waiting_characters must be at least max_characters")
        return self


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each setting that the parser does not have yet; the token has none: it stays off `ps`."""
    taken = {action.dest for action in parser._actions}
    for name, field in PredictorSettings.model_fields.items():
        if name not in taken and name != "api_token":
            parser.add_argument(f"--{name}", default=None, help=f"{field.description} Default: {field.default}.")


def read_settings(arguments: argparse.Namespace, model_name: str | None) -> PredictorSettings:
    """Read settings from the flags, and from the environment for the rest.

    Raises:
        RankliftError: when the environment has a variable that looks like a setting and is none.
        pydantic.ValidationError: when a value does not fit.
    """
    check_environment(os.environ, PredictorSettings.model_fields)
    names = PredictorSettings.model_fields.keys() - {"model_name", "api_token"}
    given = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    if model_name is not None:
        given["model_name"] = model_name
    return PredictorSettings(**given)

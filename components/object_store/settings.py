"""Where the object store is and who may speak to it: one typed place, filled from the environment or from files."""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.errors import StoreError

BUCKET = "ranklift"
REGION = "us-east-1"
_EXAMPLE = "RANKLIFT_S3_ENDPOINT=http://127.0.0.1:9000"


def _named(*names: str) -> Any:
    return Field(validation_alias=AliasChoices(*names))


class ObjectStoreSettings(BaseSettings):
    """Endpoint, bucket and keys of an S3 object store.

    The environment fills every field that the caller leaves out; the names are those that `kubectl` users and the AWS
    tools know. Secrets are `SecretStr`: neither `repr` nor a log line shows them.
    """

    model_config = SettingsConfigDict(
        extra="ignore", populate_by_name=True, hide_input_in_errors=True, frozen=True, env_ignore_empty=True
    )

    endpoint: Annotated[str, _named("RANKLIFT_S3_ENDPOINT", "endpoint")]  #: http(s)://host[:port]
    bucket: Annotated[str, _named("RANKLIFT_S3_BUCKET", "bucket")] = BUCKET
    access_key: Annotated[SecretStr | None, _named("AWS_ACCESS_KEY_ID", "access_key")] = None
    secret_key: Annotated[SecretStr | None, _named("AWS_SECRET_ACCESS_KEY", "secret_key")] = None
    session_token: Annotated[SecretStr | None, _named("AWS_SESSION_TOKEN", "session_token")] = None
    region: Annotated[str, _named("AWS_REGION", "AWS_DEFAULT_REGION", "region")] = REGION
    ca_file: Annotated[Path | None, _named("RANKLIFT_S3_CA_FILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "ca_file")] = None
    virtual_host: Annotated[bool, _named("RANKLIFT_S3_VIRTUAL_HOST", "virtual_host")] = False
    keys_from: Annotated[str, _named("RANKLIFT_S3_KEYS_FROM", "keys_from")] = ""  #: such as "Secret kubeflow/mine"
    timeout: Annotated[float, _named("RANKLIFT_S3_TIMEOUT", "timeout")] = 30.0  #: seconds without a byte
    attempts: Annotated[int, _named("RANKLIFT_S3_ATTEMPTS", "attempts")] = 5  #: of each call, the first included
    #: Seconds for which a store that is away is asked again after those attempts; see `components.machine.patience`.
    patience: Annotated[int, _named("RANKLIFT_PATIENCE", "patience")] = Field(0, ge=0)

    @classmethod
    def from_environment(cls) -> "ObjectStoreSettings | None":
        """Return the configured object store, or None when no endpoint is configured.

        ``RANKLIFT_S3_SECRETS_DIR`` may name a folder with one file for each name (a mounted Kubernetes secret), and
        ``RANKLIFT_S3_ENV_FILE`` a file of ``NAME=value`` lines; the environment wins over both.

        Raises:
            StoreError: when a value cannot be used.
        """
        sources = _Sources()
        try:
            return cls(_secrets_dir=sources.secrets_dir, _env_file=sources.env_file)
        except ValidationError as error:
            if all(fault["type"] == "missing" for fault in error.errors()):
                return None
            raise StoreError(_sentence(error)) from None

    @classmethod
    def of(cls, **values: Any) -> "ObjectStoreSettings":
        """Return settings from values; the environment fills the rest.

        Raises:
            StoreError: when a value cannot be used.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise StoreError(_sentence(error)) from None

    @field_validator("endpoint")
    @classmethod
    def _is_an_endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        if url.username or url.password:
            raise ValueError("holds a password; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError(f"{value!r} is not http://host:port or https://host:port")
        if url.path not in {"", "/"} or url.query or url.fragment:
            raise ValueError(f"{value!r} has a path; name the bucket with RANKLIFT_S3_BUCKET instead")
        return f"{url.scheme}://{url.netloc}"

    @field_validator("ca_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @field_validator("bucket")
    @classmethod
    def _is_a_bucket_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            raise ValueError(f'{value!r} is not a bucket name (3 to 63 of a-z, 0-9, "." and "-"), such as "ranklift"')
        return value

    @model_validator(mode="after")
    def _both_keys(self) -> "ObjectStoreSettings":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together; give both or neither")
        return self

    @property
    def host(self) -> str:
        """The endpoint without its scheme."""
        return urlsplit(self.endpoint).netloc

    @property
    def secure(self) -> bool:
        """Whether the endpoint speaks TLS."""
        return self.endpoint.startswith("https://")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that give a child process these settings; holds the secrets in the clear."""
        values = {
            "RANKLIFT_S3_ENDPOINT": self.endpoint,
            "RANKLIFT_S3_BUCKET": self.bucket,
            "AWS_REGION": self.region,
            "RANKLIFT_S3_VIRTUAL_HOST": str(self.virtual_host).lower(),
            "RANKLIFT_S3_TIMEOUT": str(self.timeout),
            "RANKLIFT_S3_ATTEMPTS": str(self.attempts),
        }
        secrets = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }
        # An empty value hides the value that the child would otherwise inherit.
        values |= {name: secret.get_secret_value() if secret else "" for name, secret in secrets.items()}
        if self.ca_file is not None:
            values["RANKLIFT_S3_CA_FILE"] = str(self.ca_file)
        return values


class _Sources(BaseSettings):
    """Files that may hold the settings."""

    secrets_dir: Annotated[Path | None, _named("RANKLIFT_S3_SECRETS_DIR")] = None
    env_file: Annotated[Path | None, _named("RANKLIFT_S3_ENV_FILE")] = None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "keys"
    fault = first["msg"].removeprefix("Value error, ")
    return f"The object store's settings cannot be used: {name}: {fault}; for example {_EXAMPLE}."

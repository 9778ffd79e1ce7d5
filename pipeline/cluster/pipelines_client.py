"""KFP's own client: where it finds its endpoint and who it speaks for, and a time limit for each of its requests."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.kubernetes.account import KUBEFLOW

_TIMEOUT = (10.0, 60.0)  # seconds to connect, and without a byte


class PipelinesSettings(BaseSettings):
    """Where Kubeflow Pipelines is and who speaks to it. Secrets come from the environment alone, never from a flag."""

    model_config = SettingsConfigDict(env_prefix="RANKLIFT_KFP_", extra="ignore", env_ignore_empty=True)

    endpoint: str | None = None  #: http(s)://host[:port][/path]
    ui: str | None = None  #: where people open the UI, when not at the endpoint
    namespace: str | None = None  #: the user's profile, in a multi-user installation
    token: SecretStr | None = None  #: sent as a bearer token
    cookie: SecretStr | None = None  #: such as the session of an authenticating proxy
    headers: dict[str, SecretStr] = Field(default_factory=dict)  #: JSON, such as {"kubeflow-userid": "me@example.com"}
    ca_file: Path | None = None


def bounded_client(endpoint: str, settings: PipelinesSettings) -> Any:
    """KFP's client, once it has reached an endpoint."""
    from kfp import Client

    class BoundedClient(Client):
        """KFP's client; each of its requests ends, and carries the headers of the environment."""

        def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
            """One attempt: who typed a wrong endpoint need not wait for five."""
            api = self._healthz_api.api_client
            if not hasattr(api, "ranklift_bounded"):
                _bound(api, settings.headers)
            return self._healthz_api.healthz_service_get_healthz()

    token = settings.token.get_secret_value() if settings.token else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the client is for KFP v2
        client = BoundedClient(
            host=endpoint,
            existing_token=token,
            cookies=settings.cookie.get_secret_value() if settings.cookie else None,
            ssl_ca_cert=str(settings.ca_file) if settings.ca_file else None,
            namespace=settings.namespace or KUBEFLOW,
        )
        client.get_kfp_healthz()
    return client


def _bound(api: Any, headers: Mapping[str, SecretStr]) -> None:
    """Give every request of a generated client a time limit; the client itself knows none."""
    request = api.rest_client.request

    def bounded(*arguments: Any, **named: Any) -> Any:
        named["_request_timeout"] = named.get("_request_timeout") or _TIMEOUT
        return request(*arguments, **named)

    api.rest_client.request = bounded
    for name, value in headers.items():
        api.set_default_header(name, value.get_secret_value())
    api.ranklift_bounded = True

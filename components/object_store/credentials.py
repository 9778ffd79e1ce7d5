"""As whom the object store is spoken to: keys of the settings, a token of the cluster, or the user's AWS profile."""

import os
from pathlib import Path

from minio.credentials.providers import AWSConfigProvider, IamAwsProvider, Provider, StaticProvider

from components.errors import StoreError
from components.object_store.settings import ObjectStoreSettings


def credentials_of(settings: ObjectStoreSettings) -> Provider:
    """Return where the keys come from.

    Raises:
        StoreError: when there are none.
    """
    if settings.access_key is not None and settings.secret_key is not None:
        token = settings.session_token.get_secret_value() if settings.session_token else None
        return StaticProvider(settings.access_key.get_secret_value(), settings.secret_key.get_secret_value(), token)
    if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return IamAwsProvider()
    shared = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    if shared.is_file():
        return AWSConfigProvider(str(shared))
    raise StoreError(
        f"No keys are set for the object store at {settings.endpoint}; "
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."
    )

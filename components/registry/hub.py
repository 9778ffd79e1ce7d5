"""A model version on the model hub, for those who want it there."""

import tempfile
from pathlib import Path

from components.errors import StoreError
from components.model.hub import first_line, hub_faults
from components.registry.registry import Registry

_SCHEME = "hf://"


def push_model(registry: Registry, version: str, uri: str) -> str:
    """Upload a model version to ``hf://owner/name``, private unless the repository exists; returns the commit's URL.

    The token is the hub's own: the environment's ``HF_TOKEN``, or what `hf auth login` keeps.

    Raises:
        StoreError: when the address is none, the version cannot be fetched, or the hub refuses.
    """
    name = uri.removeprefix(_SCHEME)
    if not uri.startswith(_SCHEME) or name.count("/") != 1 or not all(name.split("/")):
        raise StoreError(f"{uri!r} is not a place on the model hub; give one such as hf://acme/docs-search.")
    try:
        from huggingface_hub import HfApi

        faults = hub_faults()
    except ImportError as error:
        raise StoreError("Pushing needs huggingface_hub; install it with `pip install huggingface_hub`.") from error
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / version
        manifest = registry.download("model", version, directory)
        api = HfApi()
        try:
            api.create_repo(name, private=True, exist_ok=True)
            commit = api.upload_folder(
                repo_id=name, folder_path=directory, commit_message=f"{version} ({manifest.digest[:12]})"
            )
        except faults as error:
            raise StoreError(
                f"{version} could not be pushed to {uri} ({first_line(error)}); check the name, the network and "
                "HF_TOKEN."
            ) from error
    return str(commit.commit_url)

"""A data set on the Hugging Face hub, as its URI names it."""

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from components.errors import DataError
from components.model.hub import PATIENCE, ask_hub, first_line, hub_faults

HUB_SCHEME = "hf://"
_T = TypeVar("_T")


class HubDataset(NamedTuple):
    """``hf://datasets/OWNER/NAME[@REVISION][/PATH]``, a revision's slashes as ``%2F``."""

    uri: str
    name: str  #: OWNER/NAME
    revision: str | None
    inside: str  #: the path of a file or folder in it; empty for all of it

    @classmethod
    def of(cls, uri: str) -> "HubDataset":
        """Read a URI.

        Raises:
            DataError: when it names no data set of the hub.
        """
        parts = uri.removeprefix(HUB_SCHEME).split("/")
        if parts[0] != "datasets" or len(parts) < 3:
            raise DataError(
                f"{uri} is not hf://datasets/OWNER/NAME[/PATH]; give one such as hf://datasets/acme/clicks."
            )
        name, _, revision = "/".join(parts[1:3]).partition("@")
        return cls(uri, name, unquote(revision) or None, "/".join(parts[3:]))

    def commit(self) -> str:
        """Return the commit that the revision stands for now.

        Raises:
            DataError: when the hub cannot be reached, or does not give the data set.
        """
        return self._ask(lambda: str(self._info().sha), f"The hub does not say what {self.uri} is")

    def download(self, target: Path) -> Path:
        """Copy it below a folder, and return where its file or folder lies there.

        Raises:
            DataError: when the hub cannot be reached, or does not give the data set.
        """
        from huggingface_hub import snapshot_download

        named = glob.escape(self.inside.rstrip("/"))
        patterns = [named, f"{named}/*"] if self.inside else None

        def copy() -> None:
            self._info()
            snapshot_download(
                self.name, repo_type="dataset", revision=self.revision, local_dir=target, allow_patterns=patterns
            )

        self._ask(copy, f"The hub does not give {self.uri}")
        return target / self.inside if self.inside else target

    def _info(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi().dataset_info(self.name, revision=self.revision, timeout=PATIENCE)

    def _ask(self, action: Callable[[], _T], sentence: str) -> _T:
        try:
            return ask_hub(action, sentence)
        except hub_faults() as error:
            raise DataError(
                f"{self.uri} could not be read from the hub ({first_line(error)}); check the name, the network and, "
                "where the data is not public, HF_TOKEN."
            ) from error

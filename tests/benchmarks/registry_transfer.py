"""How fast large files move: the registry's verified transfer against the `minio` client's own, side by side.

    python tests/benchmarks/registry_transfer.py [MEGABYTES] [ROUNDS]

Both move the same file to and from one embedded store; ours hashes it on the way out and on the way in (SHA-256, and
MD5 for the store), the client's own does not verify what it reads.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from minio import Minio

from components.machine.digest import file_sha256
from components.object_store.client import ObjectStore
from components.object_store.embedded import embedded_store
from components.object_store.transfer import download, upload


def main(megabytes: int = 200, rounds: int = 5) -> None:
    """Print seconds and ratios, median and spread over the rounds."""
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder) / "store") as settings:
        file, copy = Path(folder) / "file", Path(folder) / "copy"
        file.write_bytes(np.random.default_rng(13).bytes(megabytes << 20))
        digest, size = file_sha256(file), file.stat().st_size
        store = ObjectStore(settings)
        assert settings.access_key and settings.secret_key
        client = Minio(
            settings.host,
            settings.access_key.get_secret_value(),
            settings.secret_key.get_secret_value(),
            secure=False,
            region=settings.region,
        )
        actions: dict[str, Callable[[str], Any]] = {
            "up, ours": lambda key: upload(store, f"ours-{key}", file, digest),
            "up, client": lambda key: client.fput_object(settings.bucket, f"client-{key}", str(file)),
            "down, ours": lambda key: download(store, f"ours-{key}", copy, digest, size),
            "down, client": lambda key: client.fget_object(settings.bucket, f"client-{key}", str(copy)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in actions}
        for number in range(rounds):
            for name, action in actions.items():
                copy.unlink(missing_ok=True)
                started = time.perf_counter()
                action(str(number))
                seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        print(f"{name:14} {median(values):6.2f} s ({min(values):.2f} to {max(values):.2f})")
    for way in ("up", "down"):
        ratios = [b / a for a, b in zip(seconds[f"{way}, ours"], seconds[f"{way}, client"], strict=True)]
        print(f"{way}: {median(ratios):.2f} times the client's speed ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

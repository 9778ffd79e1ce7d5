"""What training tells while it works: lines on standard error, for a terminal and a pod's log alike."""

import sys

PREFIX = "train: "


def tell(line: str) -> None:
    """Tell one line."""
    print(f"{PREFIX}{line}", file=sys.stderr, flush=True)

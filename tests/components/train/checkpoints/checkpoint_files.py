"""The files of a checkpoint that training looks into before it carries on from it."""

from pathlib import Path

WEIGHTS = "model.safetensors"


def write_files(checkpoint: Path, content: str) -> None:
    """Weights that hold a text, an optimizer and a schedule, as the trainer writes them."""
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    save_file({"text": np.frombuffer(content.encode(), dtype=np.uint8)}, checkpoint / WEIGHTS)
    for name in ("optimizer.pt", "scheduler.pt"):
        torch.save({"state": {}}, checkpoint / name)


def content_of(checkpoint: Path) -> str:
    """The text that the weights hold."""
    from safetensors.numpy import load_file

    return bytes(load_file(checkpoint / WEIGHTS)["text"]).decode()

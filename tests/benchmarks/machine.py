"""The machine that a benchmark runs on: what its figures are measured against."""

import time
from collections.abc import Callable
from pathlib import Path


def processor() -> str:
    """The processor's name, as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def gemm_gflops(bf16: bool, clock: Callable[[], float] = time.perf_counter) -> float:
    """This machine's matrix product, in torch with its threads, at the shape of MiniLM-L6's widest layer.

    Returns:
        GFLOP/s, the best of five, by the clock that is given.
    """
    import torch

    kind = torch.bfloat16 if bf16 else torch.float32
    left, right = torch.randn(2048, 384, dtype=kind), torch.randn(384, 1536, dtype=kind)
    best = 0.0
    for _ in range(5):
        begun = clock()
        for _ in range(30):
            left @ right
        best = max(best, 30 * 2 * 2048 * 384 * 1536 / (clock() - begun) / 1e9)
    return round(best, 1)

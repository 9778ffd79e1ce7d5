"""The machine that a benchmark runs on: what its figures are measured against."""

import time
from collections.abc import Callable
from pathlib import Path


def processor() -> str:
    """The processor's name, as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def load_average() -> str:
    """What else runs: the load of the last minute, and of the last five."""
    return " ".join(Path("/proc/loadavg").read_text().split()[:2])


def gemm_gflops(bf16: bool, threads: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """This machine's matrix product, in torch, at the shape of MiniLM-L6's widest layer.

    Returns:
        GFLOP a second of the clock that is given (on the wall, or of CPU time), the best of five.
    """
    import torch

    torch.set_num_threads(threads)
    kind = torch.bfloat16 if bf16 else torch.float32
    left, right = torch.randn(1024, 384, dtype=kind), torch.randn(384, 1536, dtype=kind)
    best = 0.0
    for _ in range(5):
        begun = clock()
        for _ in range(30):
            left @ right
        best = max(best, 30 * 2 * 1024 * 384 * 1536 / (clock() - begun) / 1e9)
    return round(best, 1)

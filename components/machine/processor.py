"""What this processor can do that changes how ranklift computes."""

import math
import os
from pathlib import Path

#: The flags with which Linux reports bfloat16 arithmetic in hardware, on x86 and on Arm.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "avx10_2", "bf16", "svebf16"}
#: Those of SHA-256 in hardware.
_SHA256_FLAGS = {"sha_ni", "sha2"}

_REQUESTS = 4  # of a pod's CPUs, in threads: more only fight for the node with the other pods


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bfloat16 is computed in hardware here; False where the system does not tell."""
    return not _BF16_FLAGS.isdisjoint(_flags(cpuinfo))


def has_sha256(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether SHA-256 is computed in hardware here; False where the system does not tell."""
    return not _SHA256_FLAGS.isdisjoint(_flags(cpuinfo))


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many CPUs this process should use, at least 1.

    That is the smaller of its affinity and its cgroup's quota. A pod that requests CPUs and has no limit may use all of
    its node's, which others use as well: it gets as many as fit four of its requests (``RANKLIFT_CPU_REQUEST``).
    """
    affinity = _affinity()
    asked = float(os.environ.get("RANKLIFT_CPU_REQUEST") or 0)
    wanted = math.ceil(_REQUESTS * asked) if asked else affinity
    return max(1, min(affinity, wanted, int(_quota(cgroup, affinity))))


def limit_threads() -> None:
    """Have the libraries that are imported from here on start no more threads than `available_cpus`.

    They know the processor, and neither the pod's limit nor its request. What the environment says already stays.
    """
    if (cpus := available_cpus()) < _affinity():
        for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
            os.environ.setdefault(name, str(cpus))


def _flags(cpuinfo: Path) -> list[str]:
    """Return the flags of the first processor; none where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    except OSError:
        return []
    return next((line.split() for line in lines if line.startswith(("flags", "features"))), [])


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(cgroup: Path, unlimited: int) -> float:
    """CPUs that the cgroup grants: ``cpu.max`` in version 2, two files of microseconds in version 1."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((cgroup / "cpu" / name).read_text(encoding="ascii").strip() for name in names)
        return unlimited if quota in {"max", "-1"} else int(quota) / int(period)
    except (OSError, ValueError):
        return unlimited

"""OpenVINO, opened once a process and never closed.

OpenVINO's CPU plugin gives the thread that opens it a stack for signal handlers, and takes the stack's memory back when
the plugin is closed. Where another thread closes it, or where two were opened and the older is closed first, the thread
is left with a stack that is gone, and its next signal (a SIGTERM that should drain a predictor, or end a training with
a checkpoint) is a segmentation fault. A plugin that stays open has no such moment.
"""

from threading import Lock
from typing import Any

_lock = Lock()
_opened: list[Any] = []


def openvino_core() -> Any:
    """Return the process's `openvino.Core`."""
    import openvino as ov

    with _lock:
        if not _opened:
            _opened.append(ov.Core())
        return _opened[0]


def cpu_has_bf16() -> bool:
    """Return whether OpenVINO computes in bf16 on this processor."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

"""OpenVINO, imported without its reports to its maker, opened once a process and never closed.

Wherever the package openvino_telemetry can be imported, OpenVINO and NNCF report every import and conversion to Intel,
through Google Analytics: they keep an identifier below the home folder, and fork the process for each report, which
costs more than the conversion of a small model. ranklift tells nobody what its users do, so it hides that package.

OpenVINO's CPU plugin gives the thread that opens it a stack for signal handlers, and takes the stack's memory back when
the plugin is closed. Where another thread closes it, or where two were opened and the older is closed first, the thread
is left with a stack that is gone, and its next signal (a SIGTERM that should drain a predictor, or end a training with
a checkpoint) is a segmentation fault. A plugin that stays open has no such moment.
"""

import sys
from threading import Lock
from typing import Any, cast

_REPORTS = "openvino_telemetry"

_lock = Lock()
_opened: list[Any] = []


def import_openvino() -> Any:
    """Return the module `openvino`, which reports nothing to its maker, nor does `nncf` from here on."""
    cast("dict[str, Any]", sys.modules).setdefault(_REPORTS, None)  # the import of None fails as that of no package
    import openvino  # noqa: TID251 - here nothing is left that it could report with

    return openvino


def openvino_core() -> Any:
    """Return the process's `openvino.Core`."""
    ov = import_openvino()
    with _lock:
        if not _opened:
            _opened.append(ov.Core())
        return _opened[0]


def cpu_has_bf16() -> bool:
    """Return whether OpenVINO computes in bf16 on this processor."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

"""This machine: Python, what is installed, the processor, the predictor that runs here."""

import sys
from importlib.util import find_spec
from pathlib import Path

from components.machine.processor import available_cpus, has_bf16
from pipeline.doctor.result import Check, Result, ok, skipped, wrong

_OLDEST = (3, 11)
_EXTRAS = {
    "train": "sentence_transformers",
    "export": "nncf",
    "evaluate": "pytrec_eval",
    "serve": "kserve",
    "pipeline": "kfp",
    "deploy": "kubernetes",
}


def check_python(home: Path) -> Result:
    """Whether Python is new enough."""
    found = sys.version.split()[0]
    if sys.version_info[:2] < _OLDEST:
        return wrong(f"Python {found}", "install Python 3.11 or newer, and `make PYTHON=python3.11 install`")
    return ok(f"Python {found}")


def check_extras(home: Path) -> Result:
    """Which of ranklift's parts can run here."""
    missing = [extra for extra, module in _EXTRAS.items() if find_spec(module) is None]
    if missing:
        return skipped(f"without {', '.join(missing)}; `pip install 'ranklift[{','.join(missing)}]'` adds them")
    return ok("every part of ranklift can run here")


def check_processor(home: Path) -> Result:
    """How fast models can be served here."""
    bf16 = "computes bfloat16" if has_bf16() else "does not compute bfloat16, so precision auto serves another"
    return ok(f"{available_cpus()} CPUs; the processor {bf16}")


def check_predictor(home: Path) -> Result:
    """Whether the predictor that was started here answers."""
    from components.deploy.machine.folder import current_version, running_predictor
    from components.deploy.smoke import NotAnsweredError, ask

    predictor = running_predictor(home)
    if predictor is None:
        return skipped("no predictor runs here; `ranklift serve` starts one")
    try:
        version = ask(predictor.url, 10.0, proxies=False)
    except NotAnsweredError as error:
        return wrong(str(error), "read what it printed, and start it again with `ranklift serve`")
    expected = current_version(home)
    if version != expected:
        return wrong(f"{predictor.url} serves {version}, where {expected} was deployed", "restart `ranklift serve`")
    return ok(f"{predictor.url} serves {version}")


CHECKS = (
    Check("Python", check_python),
    Check("parts", check_extras),
    Check("processor", check_processor),
    Check("predictor", check_predictor),
)

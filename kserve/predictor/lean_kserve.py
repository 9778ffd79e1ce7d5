"""Import of kserve without the half of it that a predictor never uses.

``import kserve`` also imports kserve's Kubernetes client, with its few hundred models, and pandas with pyarrow: over
1,400 modules and about 110 MB of memory, in every predictor process. This module registers the package of kserve
without running its ``__init__``, so that ``kserve.model`` and the other modules are imported one by one, and stands in
for pandas, of which they need one name, in annotations.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


def use_lean_kserve() -> None:
    """Prepare this process; does nothing when kserve or pandas was imported before.

    For the predictor's own process only: whatever needs pandas in it afterwards would not find it.
    """
    if "kserve" not in sys.modules:
        _register_package("kserve")
    if "pandas" not in sys.modules:
        _register_pandas()


def _register_package(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return  # not installed: the import that follows says so
    package = ModuleType(name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package


def _register_pandas() -> None:
    pandas = ModuleType("pandas", "Stands in for pandas: kserve's modules name its DataFrame in annotations.")
    pandas.__spec__ = ModuleSpec("pandas", None)
    vars(pandas)["DataFrame"] = type("DataFrame", (), {})
    sys.modules["pandas"] = pandas

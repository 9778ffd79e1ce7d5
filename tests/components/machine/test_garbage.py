"""What the garbage collector is spared, and what it still frees."""

import subprocess
import sys
import textwrap

import pytest

_CYCLES = """
    import atexit, gc, sys, weakref
    from components.machine.garbage import spare_collections

    class Cycle:
        def __init__(self):
            self.itself = self

        def __del__(self):
            freed.append(self)

    freed = []
    atexit.register(lambda: print("the end", flush=True))
"""
_IN_USE = """
    spare_collections()
    before = len(freed)
    for _ in range(3 * gc.get_threshold()[0]):
        Cycle()
    print(len(freed) > before)
"""
_LEFT = """
    class Loud(Cycle):
        def __del__(self, write=sys.stdout.write):
            write("freed\\n")

    Loud()
"""


def said_by(*parts):
    script = "\n".join(map(textwrap.dedent, parts))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split("\n")


def test_spare_collections_still_frees_cycles_while_the_process_works():
    assert said_by(_CYCLES, _IN_USE) == ["True", "the end", ""]


def test_spare_collections_looks_at_nothing_when_the_process_ends():
    assert said_by(_CYCLES, _LEFT) == ["the end", "freed", ""]
    assert said_by(_CYCLES, "spare_collections()", _LEFT) == ["the end", ""]


def test_spare_collections_leaves_nothing_that_duckdb_reports_as_a_leak():
    script = "from components.machine.garbage import spare_collections\nspare_collections()\nimport duckdb"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")


_ENTRIES = {
    "stage": "from components.stage import Stage\nwith Stage('gate'): pass",
    "command": "import sys\nfrom pipeline.cli import main\nsys.argv = ['ranklift', '--help']\nmain()",
    "measuring process": "from components.measure.worker import main\nmain(Path('nowhere'))",
    "training process": "from components.train.processes.worker import main\nmain(Path('nowhere'))",
    "training node": "from components.train.nodes.node import main\nmain('nothing')",
}


@pytest.mark.parametrize("entry", _ENTRIES.values(), ids=_ENTRIES)
def test_whatever_starts_a_process_spares_collections(entry, tmp_path):
    script = f"import atexit, gc\nfrom pathlib import Path\natexit.register(lambda: print(gc.get_threshold()))\n{entry}"
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1:] == ["(10000, 10, 10)"], ended.stderr

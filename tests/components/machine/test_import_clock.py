"""The clock for import statements."""

import builtins
import sys
import threading
import time

import pytest

from components.machine.import_clock import ImportClock

SECONDS = 0.2


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """The name of a module that takes its time, imported by another one of its package."""
    package = tmp_path / "slow_package"
    package.mkdir()
    (package / "__init__.py").write_text("from slow_package import inner")
    (package / "inner.py").write_text(f"import time\ntime.sleep({SECONDS})")
    monkeypatch.syspath_prepend(tmp_path)
    yield "slow_package"
    for name in [name for name in sys.modules if name.startswith("slow_package")]:
        del sys.modules[name]


def test_import_clock_counts_an_import_in_a_function_and_what_it_imports_once(slow_module):
    with ImportClock() as clock:
        __import__(slow_module)
    assert SECONDS <= clock.seconds < 2 * SECONDS


def test_import_clock_counts_no_work(slow_module):
    with ImportClock() as clock:
        time.sleep(SECONDS)
    assert clock.seconds == 0.0


def test_import_clock_counts_an_import_that_fails():
    with ImportClock() as clock, pytest.raises(ImportError):
        __import__("no_such_package_anywhere")
    assert clock.seconds > 0.0


def test_import_clock_leaves_other_threads_alone(slow_module):
    with ImportClock() as clock:
        thread = threading.Thread(target=__import__, args=(slow_module,))
        thread.start()
        thread.join()
    assert clock.seconds == 0.0


def test_import_clock_puts_the_import_function_back():
    before = builtins.__import__
    with ImportClock():
        assert builtins.__import__ is not before
    assert builtins.__import__ is before

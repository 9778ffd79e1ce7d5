"""What the garbage collector is spared, and what it still collects."""

import subprocess
import sys
import textwrap


def test_spare_the_collector_leaves_modules_out_and_still_frees_a_later_cycle():
    script = """
        import gc, weakref
        import predictor.server
        from predictor.garbage import spare_the_collector

        class Model:
            def __init__(self):
                self.itself = self

        before = len(gc.get_objects())
        spare_the_collector()
        model = weakref.ref(Model())
        left = len(gc.get_objects())
        gc.collect()
        print(before > 50_000, left < 1_000, model() is None)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True True True\n"

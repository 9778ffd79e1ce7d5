"""What was freed goes back to the system."""

import subprocess
import sys

FREE = """
from pathlib import Path
from components.machine.freed_memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

give_back()
before = resident()
# Each is smaller than a block that glibc maps, and unmaps, by itself.
blocks = [b"x" * (100_000 + place % 2) for place in range(1000)]
last = b"y" * 100_000  # keeps the end of the heap, so that freeing alone shrinks nothing
held = resident() - before
del blocks
freed = resident() - before
give_back()
print(held, freed, resident() - before)
"""


def test_give_back_hands_freed_memory_to_the_system():
    told = subprocess.run([sys.executable, "-c", FREE], check=True, capture_output=True, text=True).stdout
    held, freed, given_back = map(float, told.split())
    assert held > 90
    assert freed > 80
    assert given_back < 10

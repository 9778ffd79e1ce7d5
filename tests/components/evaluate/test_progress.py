"""Progress says how far, how fast and how long still, and not too often."""

import pytest

from components.evaluate.progress import ProgressLog, progress_line


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (50, 200, 10.0, "encoding: 50 of 200 (25%), 5 texts/s, 30 s left"),
        (1000, 1_000_000, 1.0, "encoding: 1,000 of 1,000,000 (0%), 1,000 texts/s, 17 min left"),
        (100, 1_000_000, 10.0, "encoding: 100 of 1,000,000 (0%), 10 texts/s, 27.8 h left"),
        (200, 200, 40.0, "encoding: 200 of 200 (100%), 5 texts/s, 40 s"),
        (0, 200, 0.0, "encoding: 0 of 200 (0%), 0 texts/s"),
    ],
)
def test_a_line(done, total, seconds, line) -> None:
    assert progress_line("encoding", done, total, seconds) == line


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_written_every_interval_and_at_the_end() -> None:
    lines: list[str] = []
    clock = Clock()
    log = ProgressLog(lines.append, interval=2.0, clock=clock)
    for second in range(11):
        clock.now = float(second)
        log("encoding", second * 10, 100)
    assert [line.split(" of ")[0] for line in lines] == [f"encoding: {done}" for done in (20, 40, 60, 80, 100)]


def test_what_is_quick_says_nothing() -> None:
    lines: list[str] = []
    clock = Clock()
    log = ProgressLog(lines.append, interval=2.0, clock=clock)
    log("encoding the queries", 1, 2)
    clock.now = 1.0
    log("encoding the queries", 2, 2)
    assert lines == []

"""Contestants measured in turns, round after round, so that whatever else the machine does meets all of them alike."""

import asyncio
import json
import statistics
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from load import Connection, Make, Result, closed_loop, open_loop
from questions import whole_pool
from servers import Server

Measure = Callable[["Side", int], Result]


class Side(NamedTuple):
    """One server of a comparison."""

    port: int
    path: str
    server: Server

    def closed(self, make: Make, concurrency: int, seconds: float) -> Result:
        """A closed loop, with the CPU time that the server's process used."""
        return self._with_cpu(closed_loop(self.port, self.path, make, concurrency, seconds))

    def open(self, make: Make, rate: float, seconds: float, seed: int) -> Result:
        """An open loop, likewise."""
        return self._with_cpu(open_loop(self.port, self.path, make, rate, seconds, seed=seed))

    def _with_cpu(self, load: Coroutine[Any, Any, Result]) -> Result:
        before = self.server.cpu_seconds()
        result = asyncio.run(load)
        result.cpu = self.server.cpu_seconds() - before
        return result

    def fill(self) -> None:
        """Ask for every document that is repeated."""

        async def send() -> None:
            connection = Connection(self.port, self.path)
            for question in whole_pool():
                await connection.post(json.dumps(question).encode())

        asyncio.run(send())


def compare(ours: Side, others: Mapping[str, Side], rounds: int, measure: Measure) -> dict[str, Any]:
    """Measure every contestant once a round, another one first each time.

    Returns:
        What each was measured at, as medians over the rounds; and for each of the others the ratio of ours to it, of
        the same round, as median, smallest and largest.
    """
    sides = {"ranklift": ours, **others}
    names = list(sides)
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(measure(sides[name], number))
    measured = {name: _summary(of) for name, of in results.items()}
    ratios = {name: _ratios(results["ranklift"], results[name]) for name in others}
    return {"measured": measured, "ratio_to": ratios}


def spread(values: list[float]) -> dict[str, float]:
    """The median of some ratios, the smallest and the largest."""
    return {
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)
    }  # fmt: skip


def _ratios(ours: list[Result], theirs: list[Result]) -> dict[str, dict[str, float]]:
    def ratio(of: Callable[[Result], float]) -> dict[str, float]:
        return spread([of(a) / of(b) for a, b in zip(ours, theirs, strict=True)])

    return {
        "throughput": ratio(lambda result: result.throughput),
        "per_cpu_second": ratio(lambda result: result.per_cpu_second),
        "p50": ratio(lambda result: result.percentile(0.5)),
        "p99": ratio(lambda result: result.percentile(0.99)),
    }


def _summary(results: list[Result]) -> dict[str, float]:
    def median(of: Callable[[Result], float]) -> float:
        return round(statistics.median(map(of, results)), 2)

    return {
        "requests_per_second": median(lambda result: result.throughput),
        "requests_per_cpu_second": median(lambda result: result.per_cpu_second),
        "p50_ms": median(lambda result: result.percentile(0.5)),
        "p95_ms": median(lambda result: result.percentile(0.95)),
        "p99_ms": median(lambda result: result.percentile(0.99)),
        "failures": sum(result.failures for result in results),
    }

"""Load for a server on this machine: closed and open loop, over connections that stay open, at little CPU."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

Make = Callable[[], dict[str, object]]


@dataclass
class Result:
    """What one measurement saw."""

    requests: int
    failures: int
    seconds: float
    latencies: list[float]  # seconds, of the requests that were answered
    cpu: float = 0.0  # seconds of CPU that the server used

    @property
    def throughput(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Requests for each second of the server's CPU time: what a busy machine's wall clock does not disturb."""
        return self.requests / self.cpu if self.cpu else float("nan")

    def percentile(self, share: float) -> float:
        """A latency in milliseconds; infinite when nothing was answered."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


class Connection:
    """One HTTP/1.1 connection that is used again and again."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send one request; its answer's status."""
        if self._streams is None or self._streams[0].at_eof():  # servers close what was idle for some seconds
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
        reader, writer = self._streams
        head = f"POST {self._path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = answer.lower().split(b"\r\n")
        length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length:"))
        await reader.readexactly(length)
        return int(answer.split(b" ", 2)[1])


async def closed_loop(port: int, path: str, make: Make, concurrency: int, seconds: float) -> Result:
    """Each of `concurrency` clients asks again as soon as it is answered."""
    result = Result(0, 0, 0.0, [])
    started = time.perf_counter()

    async def ask() -> None:
        connection = Connection(port, path)
        while time.perf_counter() - started < seconds:
            body = json.dumps(make()).encode()
            begun = time.perf_counter()
            _count(result, await connection.post(body), time.perf_counter() - begun)

    await asyncio.gather(*(ask() for _ in range(concurrency)))
    result.seconds = time.perf_counter() - started
    return result


async def open_loop(port: int, path: str, make: Make, rate: float, seconds: float, *, seed: int) -> Result:
    """Requests arrive at random times, `rate` a second, whether or not others were answered; latency from arrival."""
    result = Result(0, 0, seconds, [])
    idle: list[Connection] = []
    pauses = random.Random(seed)

    async def ask(arrival: float) -> None:
        connection = idle.pop() if idle else Connection(port, path)
        status = await connection.post(json.dumps(make()).encode())
        _count(result, status, time.perf_counter() - arrival)
        idle.append(connection)

    tasks = []
    started = arrival = time.perf_counter()
    while arrival - started < seconds:
        await asyncio.sleep(max(0.0, arrival - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(arrival)))
        arrival += pauses.expovariate(rate)
    await asyncio.gather(*tasks)
    return result


def _count(result: Result, status: int, seconds: float) -> None:
    if status == 200:
        result.requests += 1
        result.latencies.append(seconds)
    else:
        result.failures += 1

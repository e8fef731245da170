"""A load client in a process of its own: keeps connections open, sends requests, and prints what came back as JSON.

    python -m benchmarks.load_client --port 3000 --path /v1/sentiment --bodies FILE --clients 32 --seconds 10

--bodies is a JSON list of bodies that take turns. Without --rate every client sends its next request as soon as it has
its answer; with --rate requests leave at fixed times, whatever becomes of the earlier ones, so that a server that falls
behind can't slow its own measurement down. Times run from when a request was due.
"""

import argparse
import asyncio
import json
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import httptools
import numpy as np
import uvloop


@dataclass
class Tally:
    """What came back. times: seconds of answers with status 200. refusals: seconds of those with 429."""

    times: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, status: int | str, seconds: float) -> None:
        """Counts one answer."""
        self.statuses[str(status)] += 1
        if status == 200:
            self.times.append(seconds)
        elif status == 429:
            self.refusals.append(seconds)


class Connection:
    """One connection that is opened when needed; one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Sends a request and returns the status of the answer. Raises OSError where there is none."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self.streams
        try:
            writer.write(request)
            answer = _Answer()
            parser = httptools.HttpResponseParser(answer)
            while not answer.done:
                data = await reader.read(65536)
                if not data:
                    raise ConnectionError("closed before the answer was whole")
                parser.feed_data(data)
            status: int = parser.get_status_code()
            keep = parser.should_keep_alive()
        except BaseException:
            self.close()
            raise
        if not keep:
            self.close()
        return status

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


class _Answer:
    done = False

    def on_message_complete(self) -> None:
        self.done = True


def request_of(path: str, body: str) -> bytes:
    """A POST request as bytes."""
    data = body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def closed_loop(host: str, port: int, requests: list[bytes], clients: int, seconds: float) -> Tally:
    """Every client sends its next request as soon as it has its answer."""
    tally = Tally()
    turns = cycle(requests)
    end = time.perf_counter() + seconds

    async def client() -> None:
        connection = Connection(host, port)
        while (start := time.perf_counter()) < end:
            await _count(connection, next(turns), start, tally)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally


async def open_loop(host: str, port: int, requests: list[bytes], rate: float, seconds: float) -> Tally:
    """Requests leave at fixed times, each over a connection that is free or a new one."""
    tally = Tally()
    free: list[Connection] = []
    at_work: set[asyncio.Task[None]] = set()
    begin = time.perf_counter()

    async def one(request: bytes, due: float) -> None:
        connection = free.pop() if free else Connection(host, port)
        await _count(connection, request, due, tally)
        free.append(connection)

    for i, request in zip(range(int(rate * seconds)), cycle(requests), strict=False):
        due = begin + i / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        task = asyncio.ensure_future(one(request, due))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
    await asyncio.gather(*at_work)
    for connection in free:
        connection.close()
    return tally


async def _count(connection: Connection, request: bytes, start: float, tally: Tally) -> None:
    status: int | str
    try:
        status = await asyncio.wait_for(connection.ask(request), 120)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        status = type(error).__name__
        # A server that refuses connections is not asked in a tight loop.
        await asyncio.sleep(0.01)
    tally.add(status, time.perf_counter() - start)


def summary(tally: Tally, seconds: float) -> dict[str, object]:
    """Throughput of 200s per second, percentiles in milliseconds, statuses, and the client's own share of its core."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(seconds, 2),
        "per_second": round(len(tally.times) / seconds, 1),
        "milliseconds": percentiles(tally.times),
        "refused_milliseconds": percentiles(tally.refusals),
        "statuses": dict(tally.statuses),
        "client_cpu": round((used.ru_utime + used.ru_stime) / seconds, 3),
    }


def percentiles(times: list[float]) -> dict[str, float] | None:
    """p50, p90, p99 and the largest in milliseconds; None without any."""
    if not times:
        return None
    values = np.percentile(times, [50, 90, 99, 100]) * 1000
    return dict(zip(("p50", "p90", "p99", "max"), (round(float(v), 2) for v in values), strict=True))


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rate", type=float, help="requests a second, whatever becomes of the earlier ones")
    parser.add_argument("--seconds", type=float, default=10)
    a = parser.parse_args()
    requests = [request_of(a.path, body) for body in json.loads(a.bodies.read_text("utf-8"))]
    start = time.perf_counter()
    if a.rate:
        tally = uvloop.run(open_loop(a.host, a.port, requests, a.rate, a.seconds))
    else:
        tally = uvloop.run(closed_loop(a.host, a.port, requests, a.clients, a.seconds))
    print(json.dumps(summary(tally, time.perf_counter() - start)))


if __name__ == "__main__":
    main()

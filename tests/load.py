"""Load on an API: requests in a closed loop, followers of a stream, and a flood of metric lines.

Raw sockets on one event loop, since a client library spends several times the server's CPU time on
a request. Supports just enough HTTP for answers with a Content-Length and for event streams.
"""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STEP = re.compile(rb'"step":(\d+)')
# How many connections are opened at the same time.
OPENING = 64
SMALLEST_WINDOW_BYTES = 1


def request(method: str, path: str, key: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 request with its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def quantile(values: list[float], share: float) -> float:
    """The quantile of `values` at `share`; NaN if there are none."""
    return sorted(values)[max(0, int(share * len(values)) - 1)] if values else float("nan")


@dataclass
class Answers:
    """The results of a closed loop."""

    seconds: float
    asked: int = 0  # including the warm-up
    statuses: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        return {
            "per_s": len(self.took_s) / self.seconds,
            "p50_ms": 1e3 * quantile(self.took_s, 0.5),
            "p99_ms": 1e3 * quantile(self.took_s, 0.99),
        }


class Asker(asyncio.Protocol):
    """One kept-alive connection; sends the next request after each answer, until `until`."""

    def __init__(self, answers: Answers, ask: Callable[[], bytes], since: float, until: float):
        self.answers, self.ask, self.since, self.until = answers, ask, since, until
        self.buffer = bytearray()
        self.asked_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        self.asked_at = time.perf_counter()
        self.transport.write(self.ask())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.buffer, 0, head + 2)
        if length is None:
            raise ValueError(f"An answer without a length: {bytes(self.buffer[:200])!r}")
        if len(self.buffer) < head + 4 + int(length[1]):
            return
        now = time.perf_counter()
        self.answers.asked += 1
        if self.asked_at >= self.since:
            self.answers.statuses[self.buffer[9:12].decode()] += 1
            self.answers.took_s.append(now - self.asked_at)
        self.buffer.clear()
        if now < self.until:
            self._next()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def ask_all(
    url: str,
    ask: Callable[[], bytes],
    *,
    connections: int = 64,
    seconds: float = 6,
    warm_up_s: float = 1,
) -> Answers:
    """Run a closed loop over kept-alive connections; the warm-up is not measured."""
    loop, began_at = asyncio.get_running_loop(), time.perf_counter()
    answers = Answers(seconds)
    since = began_at + warm_up_s
    askers = []
    for _ in range(connections):
        asker = Asker(answers, ask, since, since + seconds)
        await loop.create_connection(lambda asker=asker: asker, *address(url))
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    return answers


class Follower(asyncio.Protocol):
    """One client of a stream; records its bytes and when they came."""

    def __init__(self, ask: bytes) -> None:
        self.ask = ask
        self.came: list[tuple[float, bytes]] = []
        self.lost_at: float | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.ask)

    def data_received(self, data: bytes) -> None:
        self.came.append((time.perf_counter(), data))
        if not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_at = time.perf_counter()
        if not self.begun.done():
            self.begun.set_exception(exc or ConnectionError("closed before it was answered"))

    def steps(self) -> Iterator[tuple[int, float]]:
        """Each received step and its time."""
        for moment, data in self.came:
            for found in STEP.finditer(data):
                yield int(found[1]), moment


@asynccontextmanager
async def following(url: str, ask: bytes, clients: int) -> AsyncIterator[list[Follower]]:
    """Follow a stream with `clients` clients; yields once all have an answer."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(OPENING)
    followers = [Follower(ask) for _ in range(clients)]

    async def open_one(follower: Follower) -> None:
        async with gate:
            await loop.create_connection(lambda: follower, *address(url))
            await follower.begun

    try:
        await asyncio.gather(*map(open_one, followers))
        yield followers
    finally:
        for follower in followers:
            if hasattr(follower, "transport"):
                follower.transport.abort()
        await asyncio.sleep(0.1)


@contextmanager
def stalled(url: str, ask: bytes, clients: int) -> Iterator[list[socket.socket]]:
    """Yield clients that request a stream and never read it, with the smallest TCP window.

    They don't notice that the server has dropped them until they send: use `still_held`.
    """
    sockets = []
    try:
        for _ in range(clients):
            each = socket.socket()
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_WINDOW_BYTES)
            each.connect(address(url))
            each.sendall(ask)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def still_held(sockets: list[socket.socket]) -> int:
    """How many of these loopback connections are still open on the server's side."""
    pairs = {(each.getpeername()[1], each.getsockname()[1]) for each in sockets}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Per line: local address, remote address, and state; 01 is ESTABLISHED.
    return sum(
        state == "01" and (port_of(here), port_of(there)) in pairs
        for _, here, there, state, *_ in lines
    )


def port_of(place: str) -> int:
    return int(place.rpartition(":")[2], 16)


def delays_s(followers: list[Follower], published: dict[int, float]) -> tuple[list[float], int]:
    """Delays from each step's time in `published` to each arrival, and how many never arrived."""
    delays, missing = [], 0
    for follower in followers:
        came = dict(follower.steps())
        delays += [came[step] - moment for step, moment in published.items() if step in came]
        missing += len(published.keys() - came.keys())
    return delays, missing


def flood(path: Path, seconds: float, points_per_s: int, names: int = 10_000) -> int:
    """Append metric lines at this rate; return the number of points.

    A step has 100 of the names in turn, and one value in a hundred is NaN or infinite.
    """
    odd = ("NaN", "Infinity", "-Infinity", "1e999")
    written, began_at = 0, time.perf_counter()
    with path.open("a", buffering=1) as file:
        while (passed_s := time.perf_counter() - began_at) < seconds:
            while written < passed_s * points_per_s:
                step = written // 100
                values = {f"name/{(step * 100 + i) % names}": i / 7 for i in range(100)}
                head = json.dumps({"step": step, "t": time.time(), "split": "train"})[:-1]
                odd_one = f'"name/{step * 100 % names}": {odd[step % 4]}'
                file.write(f'{head}, "values": {json.dumps(values)[:-1]}, {odd_one}}}}}\n')
                written += 100
            time.sleep(0.01)
    return written

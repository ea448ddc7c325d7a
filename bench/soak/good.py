"""The good key: the answers that it gets while others attack, and their latency."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.wait import wait_for
from tests.faults.stack import TWO_RANKS, Stack

ASK_EVERY_S = 0.1
# Statuses that the good key must never get: they are for clients that send too much.
NEVER = (429, 431)


@dataclass
class Ask:
    """One `GET /v1/models`: when it was sent, how long it took, and its status (0: none)."""

    at: float
    took_s: float
    status: int


@dataclass
class Windows:
    """The times in which the API could not answer because of a kill.

    One begins when a process of the API, of Postgres or of Redis is killed, and ends when `/readyz`
    answers 200. A request counts only if it overlaps none of them.
    """

    url: str
    found: list[tuple[float, float]] = field(default_factory=list)

    def open_until_ready(self, began: float, timeout_s: float = 90) -> bool:
        def ready() -> bool:
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
            except httpx.HTTPError:
                return False
            return answer.status_code == 200

        try:
            wait_for(ready, timeout_s, interval_s=0.1)
            came_back = True
        except AssertionError:
            came_back = False
        self.found.append((began, time.monotonic()))
        return came_back

    def holds(self, ask: Ask) -> bool:
        return any(began < ask.at + ask.took_s and ask.at < ended for began, ended in self.found)

    def total_s(self) -> float:
        return sum(ended - began for began, ended in self.found)


@dataclass
class Good:
    """Gets the models ten times a second, and trains a job from time to time."""

    stack: Stack
    stop: threading.Event = field(default_factory=threading.Event)
    asks: list[Ask] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def ask(self) -> None:
        with self.stack.http() as http:
            http.timeout = httpx.Timeout(60)
            while not self.stop.wait(ASK_EVERY_S):
                at, status = time.monotonic(), 0
                # A missing answer has status 0; it counts unless the API was killed.
                with suppress(httpx.HTTPError):
                    status = http.get("/v1/models").status_code
                self.asks.append(Ask(at, time.monotonic() - at, status))

    def train(self, every_s: float) -> None:
        number = 0
        while not self.stop.is_set():
            if (job_id := self._create(number)) is not None:
                self.stack.jobs.append(job_id)
                number += 1
                self.stop.wait(every_s)
            else:
                self.stop.wait(1)

    def _create(self, number: int) -> str | None:
        """Create a job with an Idempotency-Key; None without an answer: the caller then retries."""
        body: dict[str, Any] = self.stack.body(**TWO_RANKS)
        try:
            with self.stack.http() as http:
                key = {"Idempotency-Key": f"soak-{number}"}
                answer = http.post("/v1/fine_tuning/jobs", json=body, headers=key)
        except httpx.HTTPError:
            return None
        self.statuses[answer.status_code] += 1
        return answer.json()["id"] if answer.status_code == 200 else None

    def counted(self, windows: Windows) -> list[Ask]:
        return [ask for ask in self.asks if not windows.holds(ask)]

    def wrong(self, windows: Windows) -> list[str]:
        bad = Counter(ask.status for ask in self.counted(windows) if ask.status != 200)
        found = [f"GET /v1/models was answered {status or 'by nothing'} {n} times"
                 for status, n in bad.items()]  # fmt: skip
        refused = [n for n in NEVER if self.statuses[n]]
        return found + [f"a create of the good key was answered {n}" for n in refused]


def p99_ms(asks: Sequence[Ask]) -> float:
    """The time that 99 of 100 requests stay below.

    While one request waits, the next is not sent. Requests that were due meanwhile are
    counted as if they had waited too.
    """
    due = [
        ask.took_s - n * ASK_EVERY_S
        for ask in asks
        for n in range(1 + int(ask.took_s / ASK_EVERY_S))
    ]
    took = sorted(due)
    return 1000 * took[min(len(took) - 1, int(0.99 * len(took)))] if took else float("inf")

"""Threads that share a database and a clock, and take turns, one SQL statement at a time.

A thread stops before each statement and each commit until the scheduler lets it continue. Postgres
reports which threads wait for a lock; others continue meanwhile. Postgres uses this clock too: a
schema before its own in the search path has another `clock_timestamp()`. Knows no jobs.
"""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError, OperationalError

CLOCK = """
CREATE SCHEMA simulated;
CREATE SEQUENCE simulated.ms MINVALUE 0;
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT timestamptz '{start}' + last_value * interval '1 ms' FROM simulated.ms
$$;
ALTER DATABASE {database} SET search_path = simulated, pg_catalog, public;
"""

LIMIT = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"

# Most statements take less. After this time, check in Postgres whether one waits for a lock.
LOOK_S = 0.003


class Killed(BaseException):
    """Ends a thread where it stopped; its transaction is rolled back, as by a server."""


class Actor(threading.Thread):
    """A participant's thread. It stops at once, and moves only when the scheduler lets it."""

    def __init__(
        self,
        name: str,
        body: Callable[["Actor"], None],
        turns: "Turns",
        rng: random.Random,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.body, self.turns, self.rng = body, turns, rng
        self.pid: int | None = None
        # The start of the open transaction, and the start of the last committed one.
        self.began: int | None = None
        self.committed: int | None = None
        self.parked_at = 0
        self.wakes_at: float = 0
        self.frozen_until: float = 0
        # Its session's idle_in_transaction_session_timeout; 0 means no limit.
        self.idle_limit_ms = 0
        self.waits_for: Callable[[], Any] = lambda: True
        self.is_killed = self.is_draining = self.is_over = self.loses_answer = False
        # The job that it must change next.
        self.target: str | None = None
        self.failure: BaseException | None = None
        self._turn, self._parked = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        try:
            self.park()
            self.body(self)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - handed to the scheduler
            self.failure = failure
        finally:
            self.is_over = True
            self._parked.release()

    def park(self) -> None:
        """Stop until the next turn."""
        self.parked_at = self.turns.now
        self._parked.release()
        self._turn.acquire()
        if self.is_killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        self.wakes_at = self.turns.now + seconds * 1000
        self.park()

    def wait(self, condition: Callable[[], Any]) -> None:
        self.waits_for = condition
        self.park()
        self.waits_for = lambda: True

    def go(self) -> None:
        self._turn.release()

    def has_parked(self, timeout_s: float) -> bool:
        return self._parked.acquire(timeout=timeout_s)

    def can_go(self, now: int) -> bool:
        return max(self.wakes_at, self.frozen_until) <= now and bool(self.waits_for())


def role_of(actor: Actor) -> str:
    return actor.name.partition("-")[0]


def acting() -> Actor | None:
    """The actor of the current thread."""
    thread = threading.current_thread()
    return thread if isinstance(thread, Actor) else None


class Turns:
    """Used by the scheduler: steps the actors, tracks lock waits, and has the clock."""

    def __init__(self, monitor: psycopg.Connection) -> None:
        self.monitor = monitor
        self.now = 0
        self.start: datetime | None = None
        self.actors: list[Actor] = []
        self.held_up: list[Actor] = []
        # Writes of actors that Postgres refused; a service must never try one.
        self.refusals: list[str] = []

    def install(self, database: str) -> None:
        """Make new connections use this clock. It starts one hour in the future."""
        self.monitor.execute("SET search_path = public")
        in_an_hour = self.monitor.execute("SELECT clock_timestamp() + interval '1 hour'")
        (self.start,) = in_an_hour.fetchone() or (None,)
        self.monitor.execute(CLOCK.format(start=self.start, database=database).encode())

    def watch(self, engine: Engine) -> None:
        if event.contains(engine, "commit", self._before_commit):
            return
        event.listen(engine, "before_cursor_execute", self._before_statement)
        event.listen(engine, "commit", self._before_commit)
        event.listen(engine, "rollback", self._rolled_back)
        event.listen(engine, "handle_error", self._refused)

    def pass_time(self, seconds: float) -> None:
        """Move the clock. End sessions that were idle in a transaction for too long."""
        self.now += int(seconds * 1000)
        self.monitor.execute("SELECT setval('simulated.ms', %s)", (self.now,))
        for actor in self.actors:
            is_idle = actor.began is not None and actor not in self.held_up
            if is_idle and 0 < actor.idle_limit_ms < self.now - actor.parked_at:
                self._hang_up(actor)
        self._settle_held_up()

    def _hang_up(self, actor: Actor) -> None:
        # With a timeout argument, Postgres would check only every 0.1 s.
        self.monitor.execute("SELECT pg_terminate_backend(%s)", (actor.pid,))
        there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        while self.monitor.execute(there, (actor.pid,)).fetchone():
            pass
        actor.began = None

    def add(self, actor: Actor) -> Actor:
        self.actors.append(actor)
        actor.start()
        self._settle(actor)
        return actor

    def ready(self) -> list[Actor]:
        return [a for a in self.actors if a not in self.held_up and a.can_go(self.now)]

    def sleeping(self) -> list[Actor]:
        return [a for a in self.actors if a.frozen_until <= self.now < a.wakes_at]

    def step(self, actor: Actor) -> None:
        """Let the actor, and actors that it unblocks, run to the next statement or commit."""
        actor.go()
        self._settle(actor)
        self._settle_held_up()

    def kill(self, actor: Actor) -> None:
        """SIGKILL: the actor stops, and its server process rolls back."""
        actor.is_killed = True
        if actor in self.held_up:
            self._hang_up(actor)
            self.held_up.remove(actor)
            self._settle(actor)
        while not actor.is_over:
            self.step(actor)
        self.actors = [other for other in self.actors if other is not actor]

    def _settle(self, actor: Actor) -> None:
        """Wait until the actor has stopped or waits for a lock."""
        while not actor.has_parked(LOOK_S):
            if self._is_held_up(actor):
                self.held_up.append(actor)
                return
        if actor.is_over and actor in self.actors:
            self.actors.remove(actor)

    def _settle_held_up(self) -> None:
        for other in list(self.held_up):
            if not self._is_held_up(other):
                self.held_up.remove(other)
                self._settle(other)

    def _is_held_up(self, actor: Actor) -> bool:
        row = self.monitor.execute("SELECT pg_blocking_pids(%s)", (actor.pid,)).fetchone()
        return bool(row and row[0])

    def _before_statement(self, connection: Any, *_: Any) -> None:
        if (actor := acting()) is None:
            return
        actor.park()
        if actor.began is None:
            actor.began = self.now
            actor.pid, actor.idle_limit_ms = _session_of(connection.connection)

    def _before_commit(self, connection: Any) -> None:
        if (actor := acting()) is None:
            return
        actor.park()
        actor.committed, actor.began = actor.began, None
        if actor.loses_answer:
            actor.loses_answer = False
            with suppress(psycopg.Error):
                connection.connection.dbapi_connection.commit()
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))

    def _rolled_back(self, _: Any) -> None:
        if (actor := acting()) is not None:
            actor.began = None

    def _refused(self, context: Any) -> None:
        actor = acting()
        if actor is not None and isinstance(context.sqlalchemy_exception, IntegrityError):
            self.refusals.append(f"{actor.name}: {context.original_exception}")


def _session_of(pooled: Any) -> tuple[int, int]:
    """The server process's pid and its idle limit; read once per connection."""
    connection = pooled.dbapi_connection
    if "session" not in pooled.info:
        (limit,) = connection.execute(LIMIT).fetchone()
        pooled.info["session"] = (connection.info.backend_pid, limit)
    return pooled.info["session"]

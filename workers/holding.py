"""A worker's hold on an evaluation: the lease is renewed in a thread while the phases work.

The phases look here whether they may go on, write through here (fenced), and say here how far they
are. Knows no suite and no engine.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import Job
from models.jobs import EVALUATED, HELD, DesiredState
from services.jobs import claims
from services.jobs.jobs import owner_of
from services.platform.database import transaction
from services.platform.errors import Fenced
from services.platform.settings import get_settings
from workers.app import draining

logger = logging.getLogger(__name__)

Phase = Literal["waiting_for_models", "answers", "judgments", "likelihoods", "embeddings", "scores"]
Result = TypeVar("Result")

TICK_S = 0.1
PAUSE_S = 0.5  # between two attempts at a write


class StoppedError(Exception):
    """The evaluation is to end or to be given back: its worker goes on with nothing."""


class Hold:
    """The hold of one claim. In its `with`, a thread renews the lease."""

    def __init__(self, job: Job) -> None:
        self.job_id, self.generation, self.seed = job.id, job.generation, job.seed
        self.caller = owner_of(job)
        self._desired = DesiredState.RUN
        self._fenced: str | None = None
        self._renewed_at = time.monotonic()
        self._drain_until: float | None = None
        self._progress: dict[str, Any] | None = None
        self._begun: tuple[str, int, float] | None = None
        self._held = 1
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="hold", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()

    @property
    def claim(self) -> tuple[str, int]:
        """The job's id and the generation, as functions of `services.jobs.claims` take them."""
        return self.job_id, self.generation

    @contextmanager
    def step(self) -> Iterator[Session]:
        """Open a transaction in which this claim holds the job; raises Fenced if it does not."""
        with transaction() as session:
            claims.held(session, *self.claim)
            yield session

    def persist(self, write: Callable[[Session], Result]) -> Result:
        """Do an idempotent write in a step, again while the database is away; raises Fenced once
        the lease could not be renewed.
        """
        while True:
            try:
                with self.step() as session:
                    return write(session)
            except OperationalError:
                self.check_fence()
                time.sleep(PAUSE_S)

    def tell(self, phase: Phase, done: int, total: int) -> None:
        """Say how far a phase is; stored with the next renewal of the lease."""
        now = time.monotonic()
        if self._begun is None or self._begun[0] != phase:
            self._begun = (phase, done, now)
        _, first, since = self._begun
        pace = (now - since) / (done - first) if done > first else None
        eta_s = None if pace is None else round(pace * (total - done), 1)
        self._progress = {"phase": phase, "done": done, "total": total, "eta_s": eta_s}

    def at_once(self) -> int:
        """How many requests to one engine this evaluation may have on their way.

        Evaluations that run at the same time share what the setting allows.
        """
        return max(1, get_settings().evals_at_once // max(1, self._held))

    @property
    def takes_more(self) -> bool:
        """False once no further request is to be sent."""
        return not draining.is_set() and self._desired == DesiredState.RUN and not self._fenced

    def check_fence(self) -> None:
        """Raise Fenced once it is known that another worker may have the evaluation."""
        if self._fenced is not None:
            raise Fenced(self._fenced)

    def check(self) -> None:
        """Raise Fenced or StoppedError unless the work is to go on."""
        self.check_fence()
        if not self.takes_more:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than the work is to go on; raises as `check` does."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(TICK_S, left_s))
        self.check()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run asynchronous work to its end, and cancel it when the hold ends.

        After a cancel of the user the work ends at once, amid its requests. A worker that drains
        lets requests that are on their way come back, for `drain_s` at most. Raises as `check`
        does.
        """
        return asyncio.run(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait({task}, timeout=TICK_S)
            if not task.done() and self._is_over():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # read: no warning if the hold has ended, too
        self.check()
        return task.result()

    def _is_over(self) -> bool:
        if self._fenced is not None or self._desired != DesiredState.RUN:
            return True
        if not draining.is_set():
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + get_settings().drain_s
        return time.monotonic() > self._drain_until

    def _beat(self) -> None:
        while not self._left.wait(min(get_settings().heartbeat_s, get_settings().lease_s / 3)):
            try:
                self.renew()
            except Fenced as fenced:
                self._fenced = str(fenced)
                return
            except OperationalError:
                logger.warning("the database is away; the evaluation goes on until its lease ends")
            if time.monotonic() - self._renewed_at > get_settings().lease_s:
                self._fenced = f"The lease of {self.job_id} could not be renewed in time."
                return

    def renew(self) -> None:
        """Renew the lease, store the progress, and read what the user wants."""
        asked_at = time.monotonic()  # the renewed lease begins after this moment
        with transaction() as session:
            self._desired = claims.heartbeat(session, *self.claim, self._progress)
            held = (Job.purpose.in_(EVALUATED), Job.state.in_(HELD))
            self._held = session.scalars(select(func.count()).where(*held)).one()
        self._renewed_at = asked_at

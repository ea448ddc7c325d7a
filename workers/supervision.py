"""The loop around a running training: store what it writes, hold the lease, stop it."""

import logging
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy.exc import OperationalError

from models.jobs import DesiredState
from services.jobs import claims
from services.launchers.launchers import Launched
from services.platform.database import transaction
from services.platform.errors import Fenced
from services.platform.settings import get_settings
from services.processes.verbs import time_for
from workers.app import draining
from workers.claim import Claim
from workers.tail import RunTail

logger = logging.getLogger(__name__)

TICK_S = 0.2


@dataclass
class Supervision:
    """The loop around a running training process."""

    claim: Claim
    process: Launched
    tail: RunTail
    running: bool = False
    stop_asked_at: float | None = None
    stop_heard: bool = False
    renewed_at: float = field(default_factory=time.monotonic)
    first_seen: tuple[int, float] | None = None
    heard_at: float = field(default_factory=time.monotonic)
    # How long the training was silent; None until that is too long.
    silent_s: float | None = None

    def follow(self) -> None:
        """Return when the process has ended. Raises Fenced once the lease can't be held."""
        settings = get_settings()
        beat_at = 0.0
        while self.process.poll() is None:
            now = time.monotonic()
            if now - self.renewed_at > settings.lease_s:
                raise Fenced(f"The lease of {self.claim.job_id} could not be renewed in time.")
            try:
                if self.tail.flush():
                    self.heard_at = now
                if now >= beat_at:
                    self._beat()
                    beat_at = now + settings.heartbeat_s
            except OperationalError:
                logger.warning("the database is away; the training goes on until its lease ends")
            self._enforce_stop(now)
            self._enforce_progress(now)
            time.sleep(TICK_S)

    def renew(self) -> DesiredState:
        """Renew the lease, store the run's progress, and return the job's desired state."""
        asked_at = time.monotonic()  # the renewed lease begins after this moment
        with transaction() as session:
            if not self.running and self.tail.steps is not None:
                claims.start(session, self.claim.job_id, self.claim.generation)
            desired = claims.heartbeat(
                session,
                self.claim.job_id,
                self.claim.generation,
                self._progress(),
                self.process.waits_for,
            )
        self.running = self.tail.steps is not None
        self.renewed_at = asked_at
        return desired

    def renew_when_due(self) -> None:
        """Hold the lease while the rest of the run's files is stored, however much it is."""
        if time.monotonic() - self.renewed_at > get_settings().heartbeat_s:
            self.renew()

    def _beat(self) -> None:
        desired = self.renew()
        self.process.renew()
        if desired != DesiredState.RUN:
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if self.stop_asked_at is None:
            self.stop_asked_at = time.monotonic()
        # Repeated until ranks run: before that, no process can receive it.
        self.stop_heard = self.stop_heard or self.process.ask_to_stop()

    def _enforce_stop(self, now: float) -> None:
        if draining.is_set() or self.stop_asked_at is not None:
            self._ask_to_stop()
        if self.stop_asked_at is not None and now - self.stop_asked_at > get_settings().drain_s:
            logger.warning("the training did not stop within %s s", get_settings().drain_s)
            self.process.kill()

    def _enforce_progress(self, now: float) -> None:
        """End a training that hangs: otherwise ranks would wait half an hour for a hung one. A
        cluster may let a run wait for as long as it takes.
        """
        if self.process.waits_for is not None:
            self.heard_at = now
        has_begun = self.tail.steps is not None
        limit_s = get_settings().stall_s if has_begun else self._start_s
        if now - self.heard_at > limit_s:
            logger.warning("the training has written nothing for %.0f s", limit_s)
            self.silent_s = limit_s
            self.process.kill()

    @cached_property
    def _start_s(self) -> float:
        return time_for(self.claim.spec.base_model_path, get_settings().start_s)

    def last_words(self) -> str:
        """Why the training ended, for a training that left no final event."""
        if self.silent_s is not None:
            return f"The training hung: it wrote nothing for {self.silent_s:.0f} s."
        return self.process.why or f"The training process ended with code {self.process.poll()}."

    def _progress(self) -> dict[str, Any] | None:
        """The newest step, with the time left at the pace seen since this claim's first step."""
        progress = self.tail.progress
        if not progress or not progress.get("steps"):
            return None
        step, now = progress["step"], time.monotonic()
        if self.first_seen is None:
            self.first_seen = (step, now)
        first_step, first_at = self.first_seen
        if step == first_step:
            return progress
        step_s = (now - first_at) / (step - first_step)
        return {**progress, "eta_s": round(step_s * (progress["steps"] - step), 1)}

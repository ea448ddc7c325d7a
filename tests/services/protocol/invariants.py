"""Invariants after each commit, checked on the committed rows and the committing actor.

Independent of the services: it compares the rows before and after.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from models.jobs import HELD, DesiredState, JobState
from services.jobs.states import ENDED, TRANSITIONS
from tests.services.protocol.turns import Actor, role_of

# As text, so that only changed jobs are parsed.
JOBS = """
SELECT j.id, json_build_object(
    'id', j.id, 'state', j.state, 'desired', j.desired_state, 'generation', j.generation,
    'worker', j.worker, 'attempts', j.attempts, 'progress', j.progress,
    'lease_until', extract(epoch FROM j.lease_until - %(start)s) * 1000,
    'available_at', extract(epoch FROM j.available_at - %(start)s) * 1000,
    'model', j.fine_tuned_model,
    'events', coalesce((
        SELECT json_agg(json_build_array(
            e.data ->> 'from', e.data ->> 'state', e.generation, e.terminal) ORDER BY e.seq)
        FROM job_events e WHERE e.job_id = j.id), '[]'),
    'numbers', coalesce((
        SELECT json_agg(json_build_array(m.step, m.generation, m.value) ORDER BY m.step)
        FROM metrics m WHERE m.job_id = j.id), '[]'),
    'checkpoints', coalesce((
        SELECT json_agg(json_build_array(
            c.step, c.generation, c.path, c.damaged_at IS NOT NULL) ORDER BY c.step)
        FROM checkpoints c WHERE c.job_id = j.id), '[]')
)::text
FROM jobs j WHERE j.id <> ALL (%(known)s)
"""
# Ended jobs are read only at every ALL_EVERY-th look, since their number grows.
ALL_EVERY = 40


class Violation(AssertionError):
    """A broken invariant, with its name."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


@dataclass(frozen=True)
class Seen:
    """A job and its rows, as committed. Times are ms on the simulated clock."""

    id: str
    state: str
    desired: str
    generation: int
    worker: str | None
    attempts: int
    lease_until: float | None
    available_at: float | None
    progress: dict[str, Any] | None
    model: str | None
    events: list[list[Any]]
    numbers: list[list[Any]]
    checkpoints: list[list[Any]]

    def __str__(self) -> str:
        lease = f"held by {self.worker} until {self.lease_until}" if self.worker else "free"
        return f"{self.id} ({self.state}, to {self.desired}, g{self.generation}, {lease})"

    @classmethod
    def parse(cls, text: str) -> "Seen":
        return cls(**json.loads(text))

    @property
    def hops(self) -> list[tuple[str | None, str]]:
        return [(was, becomes) for was, becomes, _, _ in self.events if becomes]

    @property
    def ends(self) -> int:
        return sum(terminal for *_, terminal in self.events)

    @property
    def claims(self) -> list[int]:
        return [generation for _, state, generation, _ in self.events if state == JobState.CLAIMED]


def require(holds: Any, invariant: str, message: str) -> None:
    if not holds:
        raise Violation(invariant, message)


class Checker:
    """Remembers the last committed state, and the claim of each actor."""

    def __init__(self, monitor: psycopg.Connection, start: Any) -> None:
        self.monitor, self.start = monitor, start
        self.jobs: dict[str, Seen] = {}
        self._texts: dict[str, str] = {}
        self._looks = 0
        self.holds: dict[Actor, tuple[str, int]] = {}

    def look(self, actor: Actor, began: int, now: int) -> list[Seen]:
        """Compare with the last look, after a commit of `actor`; return the changed jobs."""
        self._looks += 1
        ended = [job.id for job in self.jobs.values() if job.state in ENDED]
        known = ended if self._looks % ALL_EVERY else []
        found = dict(self.monitor.execute(JOBS, {"start": self.start, "known": known}).fetchall())
        changed = [
            Seen.parse(text) for job_id, text in found.items() if text != self._texts.get(job_id)
        ]
        for job in changed:
            if (was := self.jobs.get(job.id)) is not None:
                changes_legally(was, job)
                ends_once(job)
                is_claimed_once(was, job, now)
                cancel_is_kept(was, job)
                self._is_written_by_its_holder(was, job, actor, began, now)
                rows_are_the_newest(was, job)
            self.jobs[job.id] = job
        self._texts |= found
        return changed

    def _is_written_by_its_holder(
        self, was: Seen, job: Seen, actor: Actor, began: int, now: int
    ) -> None:
        """I3: a held job is changed by its holder within the lease, or by the keeper after it."""
        role = role_of(actor)
        by = f"{actor.name} changed {was} to {job} at {now}, begun at {began}"
        is_wish_only = job == replace(was, desired=job.desired)
        if was.state in ENDED:
            raise Violation("I3", f"after its end: {by}")
        if was.state in HELD and not is_wish_only:
            assert was.lease_until is not None
            if role == "worker":
                require(self.holds.get(actor) == (job.id, was.generation), "I3", by)
                require(began < was.lease_until, "I3", f"after its lease: {by}")
            else:
                require(role == "warden" and was.lease_until < now, "I3", by)
        elif role == "worker" and not is_wish_only:
            is_claim = was.state == JobState.QUEUED and job.state == JobState.CLAIMED
            require(is_claim and (job.worker or "").startswith(f"{actor.name}:"), "I3", by)
            self.holds[actor] = (job.id, job.generation)
        else:
            is_preparing = role == "preparer" and was.state == JobState.VALIDATING_FILES
            require(is_preparing or role in ("person", "stray"), "I3", by)


def changes_legally(was: Seen, job: Seen) -> None:
    """Each change of state is allowed by the table of transitions, and has its event."""
    state: str | None = was.state
    for left, becomes in job.hops[len(was.hops) :]:
        legal = left == state and JobState(becomes) in TRANSITIONS[JobState(left)]
        require(legal, "states", f"{job.id} went from {state} by way of {left} to {becomes}")
        state = becomes
    require(state == job.state, "states", f"{job.id} is {job.state}, its events say {state}")


def ends_once(job: Seen) -> None:
    """I1: an ended job has one terminal event; other jobs have none."""
    require(
        job.ends == (job.state in ENDED), "I1", f"{job.id}, {job.state}, ended {job.ends} times"
    )


def is_claimed_once(was: Seen, job: Seen, now: int) -> None:
    """I2: only a claim raises the generation. No claim comes before `available_at`."""
    rising = all(a < b for a, b in zip(job.claims, job.claims[1:], strict=False))
    require(rising, "I2", f"{job.id} was claimed as {job.claims}")
    made = len(job.claims) - len(was.claims)
    require(job.generation == was.generation + made, "I2", f"{job} after {was.generation}")
    is_new_holder = job.worker is not None and job.worker != was.worker
    require(made or not is_new_holder, "I2", f"{job.worker} holds the claim of {was.worker}")
    if made and was.available_at is not None:
        require(was.available_at <= now, "pace", f"{job} was claimed too early, at {now}")


def cancel_is_kept(was: Seen, job: Seen) -> None:
    """An accepted cancel stays, and the job never succeeds."""
    asked = was.desired == DesiredState.CANCEL
    require(not asked or job.desired == DesiredState.CANCEL, "cancel", f"{job.id} forgot it")
    is_cancelled = job.desired == DesiredState.CANCEL
    require(not is_cancelled or job.state != JobState.SUCCEEDED, "cancel", f"{job} succeeded")


def rows_are_the_newest(was: Seen, job: Seen) -> None:
    """I3 for rows: a changed row has the generation that held the job, and never a lower one."""
    for before, after in ((was.numbers, job.numbers), (was.checkpoints, job.checkpoints)):
        known = {step: generation for step, generation, *_ in before}
        for row in after:
            step, generation, *_ = row
            is_new = row not in before
            require(generation >= known.get(step, 0), "I3", f"{row} replaced {known.get(step)}")
            is_damage = is_new and isinstance(row[-1], bool) and row[-1]
            if is_new and not is_damage:
                require(generation == was.generation, "I3", f"{row} came under {was.generation}")


def is_complete(job: Seen, first_steps: dict[tuple[str, int], int], steps: int) -> None:
    """I6: a succeeded job has each step once, written by the run that trained it last."""
    require([step for step, *_ in job.numbers] == list(range(1, steps + 1)), "I6", f"gaps: {job}")
    first = first_steps[job.id, job.generation]
    for step, generation, value in job.numbers:
        require(value == generation, "I6", f"{job.id}: step {step} holds {value} of {generation}")
        is_last = step < first or generation == job.generation
        require(is_last, "I6", f"{job.id}: step {step} is {generation}'s, not {job.generation}'s")
    last = [row for row in job.checkpoints if row[0] == steps and not row[-1]]
    require(last and job.model, "I6", f"{job} has no last checkpoint or no name")

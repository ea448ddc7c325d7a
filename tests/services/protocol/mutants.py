"""Every guard of the protocol: how to take it out, and the invariant that then breaks.

A guard in Python is a piece of a function's text (`tests/guards.py`); one in the database is
dropped there.

Taken out alone, these change the outcome of no schedule, since another guard has the same effect:
- `Job.state.in_(HELD)` in `held`: each release of a job clears its lease;
- `Job.desired_state == RUN` in `claim_next`: a job to pause or cancel is never left queued;
- SKIP LOCKED in `claim_next` and `dispatch`: without it they wait, then see the committed rows;
- the fence in `checkpoints.register`: its event is fenced in the same transaction;
- the fences in `claims.finalize` and `claims.succeed`: `_finish` and `results.register` check
  before them in the same transaction;
- `generation <= excluded.generation` for metric rows: a lower generation is refused before;
- the wake-up that `_let_go` sends: the keeper wakes workers for waiting jobs.
Some of them are taken out below in pairs, to show that the second guard of the pair works.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from services.jobs import attempts, claims, jobs, preparations
from services.platform import database, queue
from services.runs import checkpoints, job_events, metrics, results
from tests.guards import Guard, edited
from workers import keeper, training

FENCE = "claims.held(session, job_id, generation)"
HELD = FENCE.removeprefix("claims.")
UNFENCED = "session.get_one(Job, job_id)"
GUARD = importlib.import_module("migrations.versions.0002_job_state_trigger").GUARD
DROP_GUARD = "DROP TRIGGER guard_job ON jobs"
IF_CANCELLED = "if job.desired_state == DesiredState.CANCEL:"


def guard_without(condition: str) -> str:
    """The trigger's function, with one of its conditions always false."""
    assert GUARD.count(condition) == 1
    rest = GUARD.replace(condition, f"false AND {condition}")
    return rest.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


@dataclass(frozen=True)
class Mutant:
    """The product without one guard. `breaks` names the broken invariant, or some with ` or `."""

    name: str
    breaks: str
    guards: tuple[Guard, ...]
    sql: str

    def take_out(self, monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection) -> None:
        for guard in self.guards:
            guard.take_out(monkeypatch.setattr)
        if self.sql:
            connection.execute(self.sql.encode())


def without(
    name: str, breaks: str, *edits: tuple[Callable[..., Any], str, str], sql: str = ""
) -> Mutant:
    """Each edit is a function, the text to remove from it, and the replacement."""
    return Mutant(name, breaks, tuple(edited(*edit) for edit in edits), sql)


FENCE_OUT = [
    without("held: generation", "I3", (claims.held, "Job.generation == generation,", "")),
    without("held: lease", "I3", (claims.held, "Job.lease_until > func.clock_timestamp(),", "")),
    without(
        "held: lock", "I3 or cancel or states or stuck", (claims.held, ".with_for_update()", "")
    ),
    without("heartbeat", "I3", (claims.heartbeat, HELD, UNFENCED)),
    without("fail", "I3 or states", (claims.fail, HELD, UNFENCED)),
    without("release", "I3 or stuck", (claims.release, HELD, UNFENCED)),
    without("lose", "I3", (claims.lose, HELD, UNFENCED)),
    without(
        "finalize",
        "I3 or states",
        (
            training._finish,
            "claims.held(session, *job)",
            "session.get_one(claims.Job, claim.job_id)",
        ),
        (claims.finalize, HELD, UNFENCED),
    ),
    without(
        "succeed",
        "I3 or states",
        (results.register, FENCE, UNFENCED),
        (claims.succeed, HELD, UNFENCED),
    ),
    without("metrics", "I3", (metrics.write, f"    {FENCE}\n", "")),
    without(
        "metrics: newer replaces older",
        "I6",
        (metrics._store, "UPSERT", 'text(UPSERT.text.replace("<= excluded.generation", "< 0"))'),
    ),
    without("events", "I3", (job_events.record, f"    {FENCE}\n", "")),
    without(
        "checkpoints",
        "I3",
        (checkpoints.register, FENCE, UNFENCED),
        (job_events.record, f"    {FENCE}\n", ""),
    ),
]
CLAIM = [
    without(
        "claim: state", "I2 or states", (claims.claim_next, "Job.state == JobState.QUEUED,", "")
    ),
    without(
        "claim: lock",
        "I2 or states",
        (claims.claim_next, ".with_for_update(of=Job, skip_locked=True)", ""),
    ),
    without(
        "claim: reads again what it locks",
        "I2 or I3",
        (claims.claim_next, ".execution_options(**ANEW)", ""),
    ),
    without(
        "claim: pause",
        "pace",
        (
            claims.claim_next,
            "func.coalesce(Job.available_at, Job.created_at) <= func.clock_timestamp(),",
            "",
        ),
    ),
    without("claim: generation", "I2", (claims.claim_next, "job.generation += 1", "pass")),
    without(
        "claim: generation, also in the trigger",
        "I2",
        (claims.claim_next, "job.generation += 1", "pass"),
        sql=DROP_GUARD,
    ),
]
WISHES = [
    without("finalize: cancel", "cancel", (claims.finalize, IF_CANCELLED, "if False:")),
    without(
        "finish: what finalize says",
        "states",
        (
            training._finish,
            "not claims.finalize(session, *job)",
            "claims.finalize(session, *job) is None",
        ),
    ),
    without("let go: cancel", "stuck", (claims._let_go, IF_CANCELLED, "if False:")),
    without(
        "let go: pause while finalizing",
        "states",
        (claims._let_go, "if job.state == JobState.FINALIZING:", "if False:"),
    ),
    without(
        "change: lock",
        "cancel or I3 or states or stuck",
        (jobs._changeable, "lock=True", "lock=False"),
    ),
    without(
        "change: ended", "cancel or I3", (jobs._changeable, "if job.state in ENDED:", "if False:")
    ),
    without(
        "change: finalizing",
        "cancel",
        (jobs._changeable, "if job.state == JobState.FINALIZING:", "if False:"),
    ),
    without("pause: cancel", "cancel", (jobs.pause, IF_CANCELLED, "if False:")),
    without("resume: cancel", "cancel", (jobs.resume, IF_CANCELLED, "if False:")),
    without(
        "prepare: state",
        "I3 or states",
        (preparations.awaited, " if job.state == JobState.VALIDATING_FILES else None", ""),
    ),
    without("prepare: lock", "I3 or states", (preparations.awaited, ", with_for_update=True", "")),
]
KEEPER = [
    without("reap: lease", "I3", (claims.reap, ", Job.lease_until < func.clock_timestamp()", "")),
    without("reap", "stuck", (claims.reap, "for job in lost:", "for job in ():")),
    without("reap: lock", "I3 or states", (claims.reap, ".with_for_update(skip_locked=True)", "")),
    without(
        "rewake",
        "stuck",
        (keeper.rewake, "_queued(session, TRAINED)", "False"),
    ),
    without(
        "dispatch", "stuck", (queue.dispatch, "publish(message.task, message.arguments)", "pass")
    ),
    without(
        "attempts",
        "stuck",
        (attempts.charge, "job.attempts < get_settings().max_attempts", "True"),
    ),
    without(
        "idling in a transaction",
        "stuck",
        (database._limit_idling, "int(get_settings().lease_s * 1000)", "0"),
    ),
]
DATABASE = [
    without("trigger: transitions", "states", sql=guard_without("NOT EXISTS (")),
    without("trigger: falling", "I2", sql=guard_without("NEW.generation < OLD.generation")),
    without(
        "trigger: claims",
        "I2",
        sql=guard_without("NEW.state = 'claimed' AND NEW.generation <= OLD.generation"),
    ),
    without("one terminal event", "I1", sql="DROP INDEX uq_job_events_terminal"),
]
MUTANTS = [*FENCE_OUT, *CLAIM, *WISHES, *KEEPER, *DATABASE]

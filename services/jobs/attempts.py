"""Attempts at a job: how many there may be, how long each waits, and what users see meanwhile.

An attempt is charged when a claim was lost or a preparation failed. A new checkpoint and finished
data reset the count. Knows nothing of leases.
"""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Job, JobEvent
from models.jobs import DesiredState
from orpo.contract.rundir import Level
from services.platform import retries
from services.platform.settings import get_settings

LONGEST_REASON = 500
FLEETING = ("retry", "eta_s", "preparing")


def charge(job: Job) -> bool:
    """Count one more lost attempt; True while another may follow."""
    job.attempts += 1
    return job.attempts < get_settings().max_attempts


def postpone(session: Session, job: Job, reason: str) -> None:
    """Set when the job may be tried again, and store why: as an event and in `progress.retry`.

    `reason` is a sentence. The caller locks the row and changes the state. The first retry has no
    delay. A job that is to pause or to end gets only the event, with the reason.
    """
    reason = sentence(reason)
    wait_s = delay_s(job.attempts)
    at = session.scalars(select(func.clock_timestamp())).one() + timedelta(seconds=wait_s)
    job.available_at = at
    retry = {
        "reason": reason,
        "attempt": job.attempts + 1,
        "max_attempts": get_settings().max_attempts,
        "at": int(at.timestamp()),
    }
    message = reason
    forget(job)
    if job.desired_state == DesiredState.RUN:
        job.progress = (job.progress or {}) | {"retry": retry}
        when = f"in {wait_s:g} s" if wait_s else "at once"
        of = f"attempt {retry['attempt']} of {retry['max_attempts']}"
        message = f"{reason} Trying again {when} ({of})."
    session.add(
        JobEvent(
            job_id=job.id,
            generation=job.generation,
            level=Level.WARN,
            message=message,
            data={"kind": "lost", **retry},
        )
    )
    # This event must come before the event of the next state.
    session.flush()


def forget(job: Job) -> None:
    """Remove what is stale from the job's progress: the reason of a retry, the time left, and the
    progress of its preparation.
    """
    if job.progress is not None:
        kept = {k: v for k, v in job.progress.items() if k not in FLEETING}
        job.progress = kept or None


def delay_s(attempts: int) -> float:
    """How long a job waits after that many lost attempts: 0, then doubling up to the longest."""
    settings = get_settings()
    if attempts < 2:
        return 0
    first_s, longest_s = settings.retry_delay_s, settings.retry_delay_max_s
    return retries.delay_s(attempts - 1, first_s=first_s, longest_s=longest_s)


def sentence(reason: str) -> str:
    """The first line of `reason`, at most 500 characters, with a full stop."""
    first = (reason.strip().splitlines() or ["No reason was given"])[0].strip()
    cut = first if len(first) <= LONGEST_REASON else f"{first[:LONGEST_REASON]}…"
    return cut if cut.endswith((".", "!", "?")) else f"{cut}."

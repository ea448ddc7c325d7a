"""The task that mirrors numbers to trackers. It is a wake-up: what is due is read from Postgres.

Each pass is a process of its own. The task starts a thread that waits for these processes, and ends
at once, as for webhooks.
"""

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryFile

from sqlalchemy.exc import OperationalError

from services.platform.database import transaction
from services.platform.queue import Task
from services.runs import mirrors
from services.runs.mirrors import TIMEOUT_S
from workers.app import app, draining
from workers.trackers.mirror import REASON

logger = logging.getLogger("oddsmith.workers")

AT_ONCE = 2
PASS = (sys.executable, "-m", "workers.trackers.mirror")
_busy = threading.Lock()


@app.task(name=Task.MIRROR)
def mirror() -> None:
    """Begin with what is due, unless this worker does already."""
    if _busy.acquire(blocking=False):
        threading.Thread(target=_mirror_all, name="mirrors", daemon=True).start()


def _mirror_all() -> None:
    try:
        # A place for each: a tracker that hangs leaves the other place free.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(_while_due, range(AT_ONCE)))
    finally:
        _busy.release()


def _while_due(_: int) -> None:
    try:
        while not draining.is_set() and mirror_next():
            pass
    except OperationalError:
        logger.warning("the database is away; the keeper wakes the mirrors again")
    except Exception:
        logger.exception("numbers could not be mirrored")


def mirror_next() -> bool:
    """Do one pass of the mirror that is due longest. False if none is due."""
    with transaction() as session:
        claimed = mirrors.claim(session, 1)
    for job_id, place in claimed:
        if (why := _pass(job_id, place)) is not None:
            logger.warning("a pass failed", extra={"job": job_id, "place": place, "failure": why})
            with transaction() as session:
                mirrors.fail(session, job_id, place, why)
    return bool(claimed)


def _pass(job_id: str, place: int) -> str | None:
    """Run one pass; return why it failed, or None."""
    # Files, not pipes: a tracker's own process may hold a pipe open beyond the end of this one.
    with TemporaryFile() as said:
        try:
            done = subprocess.run(
                [*PASS, job_id, str(place)],
                timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"The tracker took longer than {TIMEOUT_S} seconds. It is tried again."
        if done.returncode == 0:
            return None
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
    reason = reasons[-1] if reasons else f"its process ended with {done.returncode}"
    return f"The tracker could not be written to ({reason}). It is tried again."

"""The task that mirrors numbers to trackers. It is a wake-up: what is due is read from Postgres.

Each pass is a process of its own, which a thread of this worker waits for.
"""

import subprocess
import sys
from functools import partial
from tempfile import TemporaryFile

from services.platform.database import transaction
from services.platform.queue import Task
from services.processes import process_tree
from services.runs import mirrors
from services.runs.mirrors import TIMEOUT_S
from workers.app import app
from workers.background import Background, logger
from workers.trackers.mirror import REASON

PASS = (sys.executable, "-m", "workers.trackers.mirror")


@app.task(name=Task.MIRROR)
def mirror() -> None:
    """Begin with what is due."""
    for thread in THREADS:
        thread.wake()


def mirror_next(*, failing: bool = True) -> bool:
    """Do one pass of the mirror that is due longest, if it has work. False if none is due."""
    with transaction() as session:
        claimed = mirrors.claim(session, failing=failing)
        if claimed is None:
            return False
        # A pass loads a tracker's package, which takes a second of a core.
        if not mirrors.has_work(session, *claimed):
            mirrors.pause(session, *claimed, more=False)
            return True
    if (why := _pass(*claimed)) is not None:
        job_id, place = claimed
        logger.warning("a pass failed", extra={"job": job_id, "place": place, "failure": why})
        with transaction() as session:
            mirrors.fail(session, job_id, place, why)
    return True


def _pass(job_id: str, place: int) -> str | None:
    """Run one pass; return why it failed, or None."""
    # Files, not pipes: a tracker's own process may hold a pipe open beyond the end of this one.
    with TemporaryFile() as said:
        process = subprocess.Popen(
            [*PASS, job_id, str(place)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            status = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process_tree.end(lambda: process_tree.session(process.pid))
            process.wait()
            return f"The tracker took longer than {TIMEOUT_S} seconds. It is tried again."
        if status == 0:
            return None
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
    reason = reasons[-1] if reasons else f"its process ended with {status}"
    return f"The tracker could not be written to ({reason}). It is tried again."


# The first takes no mirror whose last pass has failed: trackers that hang leave it to the others.
THREADS = (
    Background("mirrors", partial(mirror_next, failing=False)),
    Background("mirrors, failing ones included", mirror_next),
)

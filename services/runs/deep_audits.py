"""Deep audits of files: jobs that leave no model, but each pair's log odds, the worst first.

Knows jobs and files; the core finds what there is to find.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import File, Job
from models.jobs import JobState, Purpose
from orpo.contract import deep_audit
from orpo.contract.manifest import open_regular
from orpo.contract.rundir import DEEP_AUDIT_FOUND, DEEP_AUDIT_PAIRS
from services.access.callers import Caller
from services.files import files
from services.files.keys import judged_key
from services.jobs import claims, jobs
from services.jobs.jobs import NewJob
from services.platform import storage
from services.platform.errors import Conflict, NotFound, no_such
from services.platform.pages import paginate
from services.platform.storage import CHUNK_BYTES
from services.runs.results import holding


def create(
    session: Session, caller: Caller, file_id: str, model: str, seed: int | None = None
) -> Job:
    """Create the audit of a validated file by a base model; raises Invalid with the `param`, and
    NotFound if the caller has no such file.
    """
    files.get(session, caller, file_id)
    request = NewJob(
        model=model,
        training_file=file_id,
        method=deep_audit.METHOD,
        hyperparameters=deep_audit.HYPERPARAMETERS,
        seed=0 if seed is None else seed,
        purpose=Purpose.DEEP_AUDIT,
    )
    return jobs.create(session, caller, request)


def get(session: Session, caller: Caller, file_id: str, audit_id: str) -> Job:
    """Return an audit of the caller's file, or raise NotFound."""
    files.get(session, caller, file_id)
    job = jobs.get(session, caller, audit_id, purpose=Purpose.DEEP_AUDIT)
    if job.training_file != file_id:
        raise no_such("deep audit", audit_id, "audit_id", f"GET /v1/files/{file_id}/deep_audits")
    return job


def list_page(
    session: Session, caller: Caller, file_id: str, *, after: str | None, limit: int
) -> Iterator[Job]:
    """Yield the audits of a file, newest first, and one beyond the limit."""
    files.get(session, caller, file_id)
    query = select(Job).where(
        Job.org_id == caller.org_id,
        Job.purpose == Purpose.DEEP_AUDIT,
        Job.training_file == file_id,
        Job.deleted_at.is_(None),
    )
    return paginate(session, query, Job.created_at, Job.id, after=after, limit=limit)


@contextmanager
def pairs(
    session: Session, caller: Caller, file_id: str, audit_id: str, *, offset: int
) -> Iterator[tuple[Iterator[bytes], int]]:
    """Yield the judged pairs from `offset` on as JSON, the most suspicious first, and how many
    there are.

    Raises Conflict unless the audit has succeeded, and NotFound if its result was deleted.
    """
    job = get(session, caller, file_id, audit_id)
    if job.state != JobState.SUCCEEDED or not job.result_files:
        raise Conflict(
            f"The deep audit `{audit_id}` has no result ({job.state}). Wait until its status is "
            "`succeeded`, or start another one.",
            param="audit_id",
            code="audit_not_ready",
        )
    result = session.get_one(File, job.result_files[0])
    if result.deleted_at is not None:
        raise NotFound(
            f"The result file `{result.id}` of this deep audit was deleted. Start another one.",
            param="audit_id",
        )
    with storage.reading(result.storage_key) as lines:
        total = (job.estimate or {}).get("pairs", 0)
        yield map(bytes.strip, islice(lines, offset, None)), total


def register(
    session: Session, job_id: str, generation: int, run_dir: Path, found: dict[str, Any]
) -> None:
    """Store the judged pairs as a result file, beside it the rows of the findings, and end the job
    as succeeded (fenced).
    """
    job = claims.held(session, job_id, generation)
    with storage.writing(judged_key(job_id)) as sink:
        for part in _chunks(run_dir / DEEP_AUDIT_FOUND):
            sink.write(part)
    parts = holding(session, job, _chunks(run_dir / DEEP_AUDIT_PAIRS))
    file = files.store_result(session, job, f"{job_id}-deep-audit.jsonl", parts)
    claims.succeed_with_audit(session, job_id, generation, found, [file.id])


def _chunks(path: Path) -> Iterator[bytes]:
    if path.is_symlink():  # a process in a sandbox may have made it; it could lead anywhere
        raise OSError(f"{path.name} is a link, and a run writes a regular file.")
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk

"""Files of pairs and of prompts: stored, listed, previewed, deleted, and what validation found.

Knows rows of the database and keys of the storage; `orpo` judges the rows of a file.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import File, Job
from models.base import new_id
from models.files import UPLOADED, FilePurpose, FileStatus
from orpo.rows.column_names import Columns
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.files import contents, judged, quota
from services.files.keys import result_id
from services.jobs import inputs
from services.jobs.states import ENDED
from services.platform import queue, storage
from services.platform.errors import Conflict, Invalid, NotFound, TooLarge, no_such
from services.platform.pages import paginate
from services.platform.queue import Task
from services.platform.settings import get_settings
from services.platform.storable import storable

MAX_FILENAME = 255
NO_NAME = "upload"  # of a file without a name that can be shown
# Files whose time is over.
LATE = (File.expires_at <= func.clock_timestamp(), File.deleted_at.is_(None))


@dataclass(frozen=True)
class Received:
    """Bytes that lie in storage already, and what their sender states about them."""

    key: str
    filename: str
    purpose: str
    size_bytes: int
    sha256: str
    columns: Columns | None = None  # which columns of its rows have other names
    # How long the file is to be kept; None: until it is deleted.
    keep_s: int | None = None
    # What the product itself made the bytes of; None for an upload.
    made_from: dict[str, Any] | None = None


def safe_name(filename: str) -> str:
    """The last part of the name a client gave, without what can't be shown in one line; it may be
    empty.
    """
    last = filename.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in last if char.isprintable()).strip()[-MAX_FILENAME:]
    return kept if kept.strip(".") else ""


def check(filename: str, purpose: str, size_bytes: int) -> None:
    """Raise Invalid, with the field at fault, unless such a file is accepted."""
    if purpose not in UPLOADED:
        raise Invalid(f"Send `purpose` as {_either(UPLOADED)}.", param="purpose")
    if size_bytes == 0:
        raise Invalid(f"`{filename}` is empty. Send a file that has rows.", param="file")
    if size_bytes > get_settings().max_upload_bytes:
        raise too_large()


def _either(names: Iterable[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def too_large() -> TooLarge:
    limit = get_settings().max_upload_bytes
    return TooLarge(
        f"The file is larger than {limit} bytes. Split it, or raise ODDSMITH_MAX_UPLOAD_BYTES.",
        param="file",
    )


def create(session: Session, caller: Caller, upload: Received) -> File:
    """Register an upload whose bytes are stored, and wake its validation.

    If the organisation has these bytes already, the file shares them: its storage key differs from
    the upload's, whose bytes the caller deletes after the commit.
    """
    shared = contents.place_of(session, caller.org_id, upload.sha256, upload.size_bytes)
    if shared is None:
        quota.refuse_beyond(session, caller.org_id, upload.size_bytes, param="file")
    record = File(
        id=new_id("file"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        filename=upload.filename or NO_NAME,
        purpose=upload.purpose,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        storage_key=shared or upload.key,
        columns=upload.columns,
        made_from=upload.made_from,
    )
    if upload.keep_s is not None:
        record.expires_at = func.clock_timestamp() + timedelta(seconds=upload.keep_s)
    session.add(record)
    queue.send(session, Task.VALIDATE_FILE, file_id=record.id)
    audit_log.record(
        session, caller, Action.CREATED, Object.FILE, record.id, size_bytes=upload.size_bytes
    )
    session.flush()
    if upload.keep_s is not None:
        session.refresh(record)
    return record


def store_result(session: Session, job: Job, filename: str, parts: Iterable[bytes]) -> File:
    """Store a job's result table; a repeated end replaces it."""
    file_id = result_id(job.id)
    key = f"results/{file_id}"
    size_bytes, digest = 0, hashlib.sha256()
    with storage.writing(key) as sink:
        for part in parts:
            sink.write(part)
            size_bytes += len(part)
            digest.update(part)
    record = File(
        id=file_id,
        org_id=job.org_id,
        api_key_id=job.api_key_id,
        filename=filename,
        purpose=FilePurpose.RESULTS,
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        storage_key=key,
        status=FileStatus.PROCESSED,
    )
    return session.merge(record)


def get(session: Session, caller: Caller, file_id: str) -> File:
    """Return the caller's file, or raise NotFound."""
    record = session.get(File, file_id)
    if record is None or record.org_id != caller.org_id or record.deleted_at is not None:
        raise no_such("file", file_id, "file_id", "GET /v1/files")
    return record


def list_page(
    session: Session,
    caller: Caller,
    *,
    purpose: str | None,
    after: str | None,
    limit: int,
    order: str,
) -> Iterator[File]:
    """Yield the caller's files, of one purpose or of all, and one beyond the limit."""
    query = select(File).where(File.org_id == caller.org_id, File.deleted_at.is_(None))
    if purpose is not None:
        query = query.where(File.purpose == purpose)
    return paginate(session, query, File.created_at, File.id, after=after, limit=limit, order=order)


def report(session: Session, caller: Caller, file_id: str) -> dict[str, Any]:
    """Return what validation found: rows, accepted, dropped, findings, shapes. The audit also has
    the findings of the newest deep audit.
    """
    record = validated(get(session, caller, file_id))
    report = record.report or {}
    audit = judged.newest(session, record)
    return judged.with_findings(report, audit) if audit else report


def open_rows(record: File) -> IO[bytes]:
    """Open the accepted rows of a validated file, one JSON object a line. Raises Conflict if there
    are none.
    """
    return storage.reading(rows_key_of(record))


def rows_key_of(record: File, param: str = "file_id") -> str:
    """The storage key of the accepted pairs of a validated file.

    Raises Conflict if there are none, and Invalid for a file of prompts.
    """
    if record.purpose == FilePurpose.PROMPTS:
        raise Invalid(
            f"The file `{record.id}` holds prompts for evaluations, and no pairs. Name a file with "
            f"the purpose `{FilePurpose.PAIRS}`.",
            param=param,
        )
    if record.rows_key is None:
        raise Conflict(f"The file `{record.id}` has no accepted row. Read its report.", param=param)
    return record.rows_key


def get_validated(session: Session, caller: Caller, file_id: str, param: str) -> File:
    """A caller's file that was validated; NotFound and Conflict name the field `param`."""
    try:
        return validated(get(session, caller, file_id))
    except (NotFound, Conflict) as error:
        error.param = param
        raise


def validated(record: File) -> File:
    """The file, or raise Conflict while it is being validated."""
    if record.status == FileStatus.UPLOADED:
        raise Conflict(
            f"The file `{record.id}` is still being validated. Ask again once its status "
            "is no longer `uploaded`.",
            param="file_id",
            code="file_not_ready",
        )
    if record.report is None:
        raise NotFound(
            f"The file `{record.id}` has no report: {record.status_details or 'it is a result.'}",
            param="file_id",
        )
    return record


def expire(session: Session) -> None:
    """Delete files whose time is over. A file that a job uses waits until the job has ended."""
    in_use = select(Job.id).where(inputs.names(File.id), Job.state.not_in(ENDED))
    late = select(File).where(*LATE, ~in_use.exists()).with_for_update(skip_locked=True)
    for record in session.scalars(late).all():
        record.deleted_at = func.clock_timestamp()
        judged.delete_of(session, record.id)
        queue.send(session, Task.REMOVE)
        about = (record.org_id, None, Action.PRUNED, Object.FILE, record.id)
        audit_log.note(session, *about, size_bytes=record.size_bytes)


def delete(session: Session, caller: Caller, file_id: str) -> File:
    """Delete a file and its deep audits.

    Its bytes, and its rows in the data of jobs that have ended, go after the commit
    (`services/upkeep/removals.py`). Raises Conflict while a job that has not ended uses it.
    """
    # With this lock, the deletion and the creation of a job with this file wait for each other.
    record = session.get(File, file_id, with_for_update=True)
    record = get(session, caller, file_id)
    user = session.scalar(
        select(Job.id).where(inputs.names(file_id), Job.state.not_in(ENDED)).limit(1)
    )
    if user is not None:
        raise Conflict(
            f"The job `{user}` still uses this file. Cancel it, or wait until it has ended.",
            param="file_id",
            code="file_in_use",
        )
    _refuse_while_read(session, file_id)
    record.deleted_at = func.clock_timestamp()
    judged.delete_of(session, file_id)
    queue.send(session, Task.REMOVE)
    audit_log.record(
        session, caller, Action.DELETED, Object.FILE, file_id, size_bytes=record.size_bytes
    )
    session.flush()
    return record


def _refuse_while_read(session: Session, file_id: str) -> None:
    """Raise Conflict while a version is being made of the file."""
    version = session.scalar(
        select(File.id)
        .where(
            File.parents.contains([{"id": file_id}]),
            File.status == FileStatus.UPLOADED,
            File.deleted_at.is_(None),
        )
        .limit(1)
    )
    if version is not None:
        raise Conflict(
            f"The version `{version}` is being made of this file. Delete that version, or wait "
            "until it is processed.",
            param="file_id",
            code="file_in_use",
        )


def open_content(session: Session, caller: Caller, file_id: str) -> File:
    """Return a file whose bytes are about to be handed out."""
    record = get(session, caller, file_id)
    if not record.sha256:
        raise Conflict(
            f"The version `{file_id}` is not made: {record.status_details or 'ask again later.'}",
            param="file_id",
            code="file_not_ready",
        )
    audit_log.record(session, caller, Action.EXPORTED, Object.FILE, file_id)
    return record


def begin_validation(session: Session, file_id: str) -> bool:
    """Count one more attempt to validate a file; False if it is not to be validated.

    A file whose worker ended in each of `max_attempts` attempts gets the status `error`: it would
    end its worker again and again.
    """
    record = _unjudged(session, file_id)
    if record is None:
        return False
    if record.attempts >= get_settings().max_attempts:
        record.status, record.report = FileStatus.ERROR, None
        record.status_details = (
            f"The worker that checked it ended {record.attempts} times before it was done: a row "
            "may need more memory than there is. Split the file, and upload it again."
        )
        return False
    record.attempts += 1
    return True


def _unjudged(session: Session, file_id: str) -> File | None:
    """Lock and return a file that awaits its validation, unless it was deleted meanwhile."""
    record = session.get(File, file_id, with_for_update=True)
    if record is None or record.deleted_at is not None or record.status != FileStatus.UPLOADED:
        return None
    return record


def finish_validation(
    session: Session,
    file_id: str,
    *,
    report: dict[str, Any] | None,
    rows_key: str | None,
    failure: str | None,
) -> bool:
    """Write what validation found; False when the file was deleted or validated meanwhile."""
    record = _unjudged(session, file_id)
    if record is None:
        return False
    # What each step of a version's recipe did is known since it was made.
    known = {key: held for key, held in (record.report or {}).items() if key == "steps"}
    # Findings quote rows, which may hold any characters.
    record.report = storable(report and {**report, **known})
    record.status_details = storable(failure)
    record.rows_key = rows_key
    record.status = FileStatus.ERROR if failure else FileStatus.PROCESSED
    return True

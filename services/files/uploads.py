"""Uploads in parts: announced, and cancelled. Their parts, their completion and their end have
modules of their own.

Knows rows of the database and keys of the storage, and no HTTP.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import Session

from models import File, Upload
from models.base import new_id
from models.uploads import UploadStatus
from orpo.rows.column_names import Columns
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.files import files, quota
from services.platform import queue
from services.platform.errors import Conflict, Invalid, TooLarge, no_such
from services.platform.queue import Task
from services.platform.settings import get_settings


@dataclass(frozen=True)
class Announced:
    """What a client states about the file that it will send: `keep_s` is how long the file is to be
    kept, None until it is deleted; `columns` says which columns have other names.
    """

    filename: str
    purpose: str
    size_bytes: int
    keep_s: int | None = None
    columns: Columns | None = None


def create(session: Session, caller: Caller, announced: Announced) -> Upload:
    """Register an upload. Raises what a file of that name and size would be refused with.

    A repeated request makes a second upload: the first one has no parts, and expires.
    """
    name, size_bytes = files.safe_name(announced.filename), announced.size_bytes
    _check(name, announced.purpose, size_bytes)
    quota.refuse_beyond(session, caller.org_id, size_bytes, param="bytes")
    upload = Upload(
        id=new_id("upload"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        filename=name,
        purpose=announced.purpose,
        size_bytes=size_bytes,
        file_seconds=announced.keep_s,
        columns=announced.columns,
        expires_at=deadline(),
    )
    session.add(upload)
    session.flush()
    audit_log.record(
        session, caller, Action.CREATED, Object.UPLOAD, upload.id, size_bytes=size_bytes
    )
    session.refresh(upload)
    return upload


def deadline() -> ColumnElement[datetime]:
    """When an upload expires to which nothing happens from now on, by the database's clock.

    OpenAI counts from the announcement; a large file on a slow line would never be completed so.
    """
    return func.clock_timestamp() + timedelta(hours=get_settings().upload_hours)


def _check(filename: str, purpose: str, size_bytes: int) -> None:
    """Check the file that will be made, and name the fields of the announcement."""
    try:
        files.check(filename, purpose, size_bytes)
    except Invalid as error:
        if error.param == "file":
            error.param = "bytes" if isinstance(error, TooLarge) else "filename"
        raise


def get(session: Session, caller: Caller, upload_id: str, *, lock: bool = False) -> Upload:
    """Return the caller's upload, or raise NotFound; with `lock`, hold its row."""
    upload = session.get(Upload, upload_id, with_for_update=lock)
    if upload is None or upload.org_id != caller.org_id:
        raise no_such("upload", upload_id, "upload_id")
    return upload


def file_of(session: Session, upload: Upload) -> File | None:
    """Return the file of a completed upload, unless it was deleted."""
    file = upload.file_id and session.get(File, upload.file_id)
    return file if file and file.deleted_at is None else None


def pending(session: Session, caller: Caller, upload_id: str, *, lock: bool = False) -> Upload:
    """Return an upload that takes parts; raises Conflict if it no longer does."""
    upload = get(session, caller, upload_id, lock=lock)
    refuse_ended(upload, upload.state)
    return upload


def refuse_ended(upload: Upload, state: str) -> None:
    """Raise Conflict unless `state` is that of an upload that may still be completed."""
    ends: dict[str, str] = {
        UploadStatus.COMPLETED: "is completed",
        UploadStatus.CANCELLED: "was cancelled",
        UploadStatus.EXPIRED: "has expired",
    }
    if state in ends:
        raise Conflict(
            f"The upload `{upload.id}` {ends[state]}. Begin a new one with POST /v1/uploads.",
            param="upload_id",
            code="upload_not_pending",
        )


def cancel(session: Session, caller: Caller, upload_id: str) -> Upload:
    """Cancel a pending upload; its parts go after the commit. Twice is the same as once."""
    upload = get(session, caller, upload_id, lock=True)
    if upload.state == UploadStatus.CANCELLED:
        return upload
    refuse_ended(upload, upload.state)
    upload.status = UploadStatus.CANCELLED
    queue.send(session, Task.REMOVE)
    audit_log.record(session, caller, Action.CANCELLED, Object.UPLOAD, upload_id)
    session.flush()
    return upload

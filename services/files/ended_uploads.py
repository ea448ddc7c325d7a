"""Uploads that are no longer pending: their parts are removed, and later the rows of those that
made no file.

Knows rows of the database, and no storage: `services/upkeep/removals.py` removes the bytes.
"""

from datetime import timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from models import Upload, UploadPart
from models.uploads import UploadStatus
from services.access import audit_log
from services.access.audit_log import Action, Object

# How long the row of an upload without a file is kept, so that its state can be asked for.
KEPT = timedelta(days=7)
# What is no longer pending, by its row or by the clock, and has parts left.
WITH_PARTS = select(Upload.id).where(
    or_(Upload.status != UploadStatus.PENDING, Upload.is_late), Upload.erased_at.is_(None)
)


def end(session: Session, upload_id: str) -> set[str]:
    """Mark an upload that is late as expired, and return the storage keys of its parts."""
    upload = session.get_one(Upload, upload_id, with_for_update=True)
    if upload.status == UploadStatus.PENDING:
        upload.status = UploadStatus.EXPIRED
        about = (upload.org_id, None, Action.PRUNED, Object.UPLOAD, upload_id)
        audit_log.note(session, *about, size_bytes=upload.size_bytes)
    parts = select(UploadPart.storage_key).where(UploadPart.upload_id == upload_id)
    return set(session.scalars(parts))


def forget_parts(session: Session, upload_id: str) -> None:
    """Delete the rows of parts whose bytes are removed."""
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload_id))
    session.get_one(Upload, upload_id).erased_at = func.clock_timestamp()


def forget_old(session: Session) -> None:
    """Delete the rows of uploads that were cancelled or expired long ago."""
    without_file = Upload.status.in_((UploadStatus.CANCELLED, UploadStatus.EXPIRED))
    old = Upload.erased_at < func.clock_timestamp() - KEPT
    session.execute(delete(Upload).where(without_file, old))

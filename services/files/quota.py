"""The quota of an organisation: the bytes of its files, and of the parts of pending uploads."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import File, Upload, UploadPart
from models.uploads import UploadStatus
from services.platform.database import lock_until_commit
from services.platform.errors import TooLarge
from services.platform.settings import get_settings


def refuse_beyond(session: Session, org_id: str, size_bytes: int, param: str) -> None:
    """Raise TooLarge where the organisation would store more than it may.

    Until the transaction ends, others of the organisation wait here, so that two that fit alone
    cannot both pass.
    """
    quota = get_settings().org_quota_bytes
    if not quota:
        return
    lock_until_commit(session, f"quota {org_id}")
    stored = used_bytes(session, org_id)
    if stored + size_bytes > quota:
        raise TooLarge(
            f"Your organisation stores {stored} of the {quota} bytes that it may store, and this "
            f"would add {size_bytes}. Delete files that you no longer need, or "
            "raise ODDSMITH_ORG_QUOTA_BYTES.",
            param=param,
            code="quota_exceeded",
        )


def used_bytes(session: Session, org_id: str) -> int:
    """Return what an organisation's files and pending parts take; equal bytes count once."""
    files = (
        select(File.storage_key, File.size_bytes)
        .where(File.org_id == org_id, File.deleted_at.is_(None))
        .distinct()
    )
    parts = (
        select(UploadPart.storage_key, UploadPart.size_bytes)
        .join(Upload, Upload.id == UploadPart.upload_id)
        .where(Upload.org_id == org_id, Upload.status == UploadStatus.PENDING, ~Upload.is_late)
        .distinct()
    )
    stored = files.union_all(parts).subquery()
    return int(session.scalar(select(func.coalesce(func.sum(stored.c.size_bytes), 0))) or 0)

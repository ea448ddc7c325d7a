"""Bytes that several files of one organisation share: equal files are stored once.

A file's row names a storage key. A new file whose bytes the organisation has already takes the key
of the earlier file; the bytes go with the last file that names them. Registering and removing wait
for each other by a lock on the content.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import File
from models.files import UPLOADED
from services.files.keys import rows_beside
from services.platform import storage
from services.platform.database import lock_until_commit


def place_of(session: Session, org_id: str, sha256: str, size_bytes: int) -> str | None:
    """Return the storage key at which the organisation has these bytes, if it has them.

    Until the transaction ends, nothing removes them. A file that is deleted, or whose bytes are
    missing, does not count. Neither does the result of a job, which a repeated end replaces.
    """
    _lock(session, org_id, sha256)
    keys = session.scalars(
        select(File.storage_key)
        .where(
            File.org_id == org_id,
            File.sha256 == sha256,
            File.size_bytes == size_bytes,
            File.purpose.in_(UPLOADED),
            File.deleted_at.is_(None),
        )
        .distinct()
    )
    return next((key for key in keys if storage.size_bytes(key) == size_bytes), None)


def release(session: Session, file: File) -> None:
    """Remove a deleted file's bytes, unless another file has them as well."""
    _lock(session, file.org_id, file.sha256)
    if not is_shared(session, file):
        # An older release kept the accepted rows beside the bytes.
        for key in (file.storage_key, rows_beside(file.storage_key)):
            storage.delete(key)


def is_shared(session: Session, file: File) -> bool:
    """Whether another file, that is not removed yet, names the same bytes."""
    others = select(File.id).where(
        File.storage_key == file.storage_key, File.id != file.id, File.erased_at.is_(None)
    )
    return session.scalar(others.limit(1)) is not None


def _lock(session: Session, org_id: str, sha256: str) -> None:
    lock_until_commit(session, f"content {org_id} {sha256}")

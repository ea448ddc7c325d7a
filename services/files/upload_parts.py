"""Parts of uploads, as they arrive: in parallel, in any order and more than once.

Each has an id; the list of ids that completes the upload decides which parts make up the file, and
in what order. So a part that was sent twice, because its first answer was lost, is harmless: only
one of its ids is in the list. The second id shares the bytes of the first, which are stored and
counted once. It is not the same id, because a file may hold the same bytes twice, and a retry does
not say which of these it means.

Knows rows of the database and keys of the storage, and no HTTP.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Upload, UploadPart
from services.access.callers import Caller
from services.files import quota, uploads
from services.platform import storage
from services.platform.errors import Invalid, Mismatch, TooLarge
from services.platform.pages import Order, paginate

MAX_PART_BYTES = 64 * 2**20
MAX_PARTS = 10_000


@dataclass(frozen=True)
class ReceivedPart:
    """The bytes of a part, which lie in storage already."""

    id: str
    key: str
    size_bytes: int
    sha256: str


def check(part: ReceivedPart, stated_sha256: str) -> None:
    """Raise Invalid if a part is empty, or is not what its sender states."""
    if part.size_bytes == 0:
        raise Invalid("The part is empty. Send at least one byte as `data`.", param="data")
    if stated_sha256 and stated_sha256.lower() != part.sha256:
        raise Invalid(
            f"The part arrived with the sha256 {part.sha256}, which is not the one that was stated "
            "with it. Send the part again.",
            param="sha256",
            code="checksum_mismatch",
        )


def too_large() -> TooLarge:
    return TooLarge(
        f"The part is larger than {MAX_PART_BYTES} bytes. Send smaller parts.", param="data"
    )


def add(
    session: Session,
    caller: Caller,
    upload_id: str,
    received: ReceivedPart,
    *,
    idempotency_key: str | None = None,
    is_retry: bool = False,
) -> UploadPart:
    """Register a part whose bytes are stored; the upload's time begins again.

    If the upload has these bytes already, the part shares them: its storage key differs from the
    received one's, whose bytes the caller deletes after the commit. `idempotency_key` is that of
    the request's header: the same key and bytes mean the same part. Raises Conflict if the upload
    takes no parts, Invalid if it takes no more, and Mismatch if the key came with other bytes.
    """
    upload = uploads.pending(session, caller, upload_id, lock=True)
    if idempotency_key is not None:
        known = _sent_before(session, upload_id, idempotency_key, received)
        if known is not None:
            return known
    twin = session.scalar(
        select(UploadPart)
        .where(UploadPart.upload_id == upload_id, UploadPart.sha256 == received.sha256)
        .order_by(UploadPart.created_at.desc())
        .limit(1)
    )
    if twin and storage.size_bytes(twin.storage_key) != twin.size_bytes:
        twin = None
    _refuse_beyond(session, upload, 0 if twin else received.size_bytes)
    part = UploadPart(
        id=received.id,
        upload_id=upload_id,
        size_bytes=received.size_bytes,
        sha256=received.sha256,
        storage_key=twin.storage_key if twin else received.key,
        retry_of=twin.id if twin and is_retry else None,
        idempotency_key=idempotency_key,
    )
    session.add(part)
    upload.expires_at = uploads.deadline()
    session.flush()
    session.refresh(part)
    return part


def _sent_before(
    session: Session, upload_id: str, key: str, received: ReceivedPart
) -> UploadPart | None:
    known = session.scalar(
        select(UploadPart).where(
            UploadPart.upload_id == upload_id, UploadPart.idempotency_key == key
        )
    )
    if known is not None and known.sha256 != received.sha256:
        raise Mismatch(
            "This Idempotency-Key was used with another part: send a new key for a new part.",
            param="Idempotency-Key",
        )
    return known


def _refuse_beyond(session: Session, upload: Upload, size_bytes: int) -> None:
    """Raise Invalid where an upload would have more parts, or bytes, than it can need.

    Twice the announced bytes leave room for parts that are sent again in another size.
    """
    distinct = (
        select(UploadPart.storage_key, UploadPart.size_bytes)
        .where(UploadPart.upload_id == upload.id)
        .distinct()
        .subquery()
    )
    mine = UploadPart.upload_id == upload.id
    stored = session.scalar(select(func.coalesce(func.sum(distinct.c.size_bytes), 0))) or 0
    count = session.scalar(select(func.count()).where(mine)) or 0
    if size_bytes > upload.size_bytes or stored + size_bytes > 2 * upload.size_bytes:
        raise Invalid(
            f"The upload was announced with {upload.size_bytes} bytes, and its parts would have "
            f"{stored + size_bytes}. Cancel it, and begin one with the right size.",
            param="data",
        )
    if count >= MAX_PARTS:
        raise Invalid(
            f"The upload has {count} parts, and no more are accepted. Begin a new one, with larger "
            "parts.",
            param="data",
        )
    if size_bytes:
        quota.refuse_beyond(session, upload.org_id, size_bytes, param="data")


def list_page(
    session: Session, caller: Caller, upload_id: str, *, after: str | None, limit: int
) -> Iterator[UploadPart]:
    """Yield the parts that were acknowledged, the oldest first, and one beyond the limit.

    An upload that is no longer pending has none.
    """
    uploads.get(session, caller, upload_id)
    query = select(UploadPart).where(UploadPart.upload_id == upload_id)
    keys = (UploadPart.created_at, UploadPart.id)
    return paginate(session, query, *keys, after=after, limit=limit, order=Order.ASC)

"""Uploads in parts: announced, received part by part, and completed into a file.

Parts may arrive in parallel, in any order and more than once. Each has an id; the list of ids that
completes the upload decides which parts make up the file, and in what order. So a part that was
sent twice, because its first answer was lost, is harmless: only one of its ids is in the list. The
second id shares the bytes of the first, which are stored and counted once. It is not the same id,
because a file may hold the same bytes twice, and a retry does not say which of these it means.

Knows rows of the database and keys of the storage, and no HTTP.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from models import File, Upload, UploadPart
from models.base import new_id
from models.uploads import UploadStatus
from orpo.rows.column_names import Columns
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.files import files, quota
from services.files.files import Received
from services.platform import queue, storage
from services.platform.errors import Conflict, Invalid, Mismatch, TooLarge, no_such
from services.platform.pages import Order, paginate
from services.platform.queue import Task
from services.platform.settings import get_settings

MAX_PART_BYTES = 64 * 2**20
MAX_PARTS = 10_000
# How long the row of an upload without a file is kept, so that its state can be asked for.
KEPT = timedelta(days=7)
# What is no longer pending, by its row or by the clock, and has parts left.
ENDED = select(Upload.id).where(
    or_(Upload.status != UploadStatus.PENDING, Upload.is_late), Upload.erased_at.is_(None)
)


@dataclass(frozen=True)
class ReceivedPart:
    """The bytes of a part, which lie in storage already."""

    id: str
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Assembly:
    """The parts that make up a file, in order."""

    upload: Upload
    parts: Sequence[UploadPart]
    parts_sha256: str
    md5: str | None


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


def create(
    session: Session,
    caller: Caller,
    announced: Announced,
) -> Upload:
    """Register an upload. Raises what a file of that name and size would be refused with.

    A repeated request makes a second upload: the first one has no parts, and expires.
    """
    name, size_bytes = files.safe_name(announced.filename), announced.size_bytes
    _check(Received("", name, announced.purpose, size_bytes, ""))
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
        expires_at=func.clock_timestamp() + timedelta(hours=get_settings().upload_hours),
    )
    session.add(upload)
    session.flush()
    audit_log.record(
        session, caller, Action.CREATED, Object.UPLOAD, upload.id, size_bytes=size_bytes
    )
    session.refresh(upload)
    return upload


def _check(announced: Received) -> None:
    """Check the file that will be made, and name the fields of the announcement."""
    try:
        files.check(announced)
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
    _refuse_ended(upload, upload.state)
    return upload


def _refuse_ended(upload: Upload, state: str) -> None:
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


# --- parts ----------------------------------------------------------------------------------------


def check_part(part: ReceivedPart, stated_sha256: str) -> None:
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


def add_part(
    session: Session,
    caller: Caller,
    upload_id: str,
    received: ReceivedPart,
    *,
    idempotency_key: str | None = None,
    is_retry: bool = False,
) -> UploadPart:
    """Register a part whose bytes are stored.

    If the upload has these bytes already, the part shares them: its storage key differs from the
    received one's, whose bytes the caller deletes after the commit. `idempotency_key` is that of
    the request's header: the same key and bytes mean the same part. Raises Conflict if the upload
    takes no parts, Invalid if it takes no more, and Mismatch if the key came with other bytes.
    """
    upload = pending(session, caller, upload_id, lock=True)
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


def list_parts(
    session: Session, caller: Caller, upload_id: str, *, after: str | None, limit: int
) -> Iterator[UploadPart]:
    """Yield the parts that were acknowledged, the oldest first, and one beyond the limit.

    An upload that is no longer pending has none.
    """
    get(session, caller, upload_id)
    query = select(UploadPart).where(UploadPart.upload_id == upload_id)
    keys = (UploadPart.created_at, UploadPart.id)
    return paginate(session, query, *keys, after=after, limit=limit, order=Order.ASC)


# --- the end --------------------------------------------------------------------------------------


def begin_completion(
    session: Session, caller: Caller, upload_id: str, part_ids: Sequence[str], md5: str | None
) -> Assembly | None:
    """Return what is to be assembled, or None if the upload was completed with this list before.

    The caller holds the upload's lock (`database.alone`) until the end. Raises Invalid, with the
    field, if the parts can't make up the file, and Conflict if the upload is not pending.
    """
    upload = get(session, caller, upload_id)
    parts_sha256 = hashlib.sha256("\n".join(part_ids).encode()).hexdigest()
    if was_completed(upload, parts_sha256):
        return None
    _refuse_ended(upload, upload.state)
    parts = _in_order(session, upload_id, part_ids)
    total_bytes = sum(part.size_bytes for part in parts)
    if total_bytes != upload.size_bytes:
        raise Invalid(
            f"The parts have {total_bytes} bytes together, and the upload was announced with "
            f"{upload.size_bytes}. List every part, each once.",
            param="part_ids",
        )
    return Assembly(upload, parts, parts_sha256, md5 and md5.lower())


def was_completed(upload: Upload, parts_sha256: str) -> bool:
    """Whether an upload was completed with this list; raises Conflict if with another one."""
    if upload.state != UploadStatus.COMPLETED:
        return False
    if upload.parts_sha256 != parts_sha256:
        raise Conflict(
            f"The upload `{upload.id}` was completed with another list of parts. Its file is "
            f"`{upload.file_id}`.",
            param="part_ids",
            code="upload_not_pending",
        )
    return True


def _in_order(session: Session, upload_id: str, part_ids: Sequence[str]) -> list[UploadPart]:
    mine = select(UploadPart).where(UploadPart.upload_id == upload_id)
    known = {part.id: part for part in session.scalars(mine)}
    seen: set[str] = set()
    for part_id in part_ids:
        if part_id not in known:
            raise Invalid(
                f"No part of this upload has the id `{part_id}`. GET /v1/uploads/{upload_id}/parts "
                "lists those that have arrived.",
                param="part_ids",
            )
        if part_id in seen:
            raise Invalid(f"The part `{part_id}` is listed twice. List it once.", param="part_ids")
        seen.add(part_id)
    return [known[part_id] for part_id in part_ids]


def assemble(assembly: Assembly) -> Received:
    """Write the parts into one new key, in blocks, and check every byte against its hash.

    The parts stay until the file is registered, so the storage holds the bytes twice meanwhile. A
    failure leaves nothing behind. Raises Invalid if the md5 differs, and Conflict if a part is
    damaged.
    """
    key = f"files/{new_id('upload')}"
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with storage.writing(key) as sink:
        for part in assembly.parts:
            for block in _checked(part):
                sink.write(block)
                sha256.update(block)
                if assembly.md5:
                    md5.update(block)
        if assembly.md5 and assembly.md5 != md5.hexdigest():
            raise Invalid(
                f"The parts have the md5 {md5.hexdigest()} together, which is not the one that was "
                "sent. Check the order of the parts, and send a damaged part again.",
                param="md5",
                code="checksum_mismatch",
            )
    upload = assembly.upload
    return Received(
        key=key,
        filename=upload.filename,
        purpose=upload.purpose,
        size_bytes=upload.size_bytes,
        sha256=sha256.hexdigest(),
        columns=upload.columns,
        keep_s=upload.file_seconds,
    )


def _checked(part: UploadPart) -> Iterator[bytes]:
    """Yield a part's bytes; raises Conflict if they are not those that arrived."""
    digest = hashlib.sha256()
    try:
        for block in storage.chunks(part.storage_key):
            digest.update(block)
            yield block
    except FileNotFoundError:
        digest = hashlib.sha256(b"missing")
    if digest.hexdigest() != part.sha256:
        raise Conflict(
            f"The stored bytes of the part `{part.id}` are damaged or missing. Begin a new upload.",
            param="part_ids",
            code="part_damaged",
        )


def finish_completion(
    session: Session, caller: Caller, assembly: Assembly, received: Received
) -> Upload:
    """Register the assembled file. Returns the upload as it is if another has completed it.

    The file may share the bytes of an earlier one: see `files.create`. Raises Conflict if the
    upload was cancelled meanwhile.
    """
    upload = get(session, caller, assembly.upload.id, lock=True)
    if was_completed(upload, assembly.parts_sha256):
        return upload
    # Not `state`: it may have become late meanwhile, and was not when its completion began.
    _refuse_ended(upload, upload.status)
    upload.status, upload.parts_sha256 = UploadStatus.COMPLETED, assembly.parts_sha256
    session.flush()
    upload.file_id = files.create(session, caller, received).id
    queue.send(session, Task.REMOVE)
    session.flush()
    return upload


def cancel(session: Session, caller: Caller, upload_id: str) -> Upload:
    """Cancel a pending upload; its parts go after the commit. Twice is the same as once."""
    upload = get(session, caller, upload_id, lock=True)
    if upload.state == UploadStatus.CANCELLED:
        return upload
    _refuse_ended(upload, upload.state)
    upload.status = UploadStatus.CANCELLED
    queue.send(session, Task.REMOVE)
    audit_log.record(session, caller, Action.CANCELLED, Object.UPLOAD, upload_id)
    session.flush()
    return upload


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

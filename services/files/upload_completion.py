"""Completing an upload: a list of its parts is put together into a file.

Knows rows of the database and keys of the storage, and no HTTP.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Upload, UploadPart
from models.base import new_id
from models.uploads import UploadStatus
from services.access.callers import Caller
from services.files import files, uploads
from services.files.files import Received
from services.platform import queue, storage
from services.platform.errors import Conflict, Invalid
from services.platform.queue import Task


@dataclass(frozen=True)
class Assembly:
    """The parts that make up a file, in order."""

    upload: Upload
    parts: Sequence[UploadPart]
    parts_sha256: str
    md5: str | None


def begin(
    session: Session, caller: Caller, upload_id: str, part_ids: Sequence[str], md5: str | None
) -> Assembly | None:
    """Return what is to be assembled, or None if the upload was completed with this list before.

    The caller holds the upload's lock (`database.alone`) until the end. Raises Invalid, with the
    field, if the parts can't make up the file, and Conflict if the upload is not pending.
    """
    upload = uploads.get(session, caller, upload_id)
    parts_sha256 = hashlib.sha256("\n".join(part_ids).encode()).hexdigest()
    if was_completed(upload, parts_sha256):
        return None
    uploads.refuse_ended(upload, upload.state)
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

    The parts stay until the file is registered, so the storage holds the bytes twice meanwhile.
    Without them, a list that is refused at the end (its md5, the quota, a cancelled upload) could
    not be corrected and sent again. A failure leaves nothing behind. Raises Invalid if the md5
    differs, and Conflict if a part is damaged.
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


def finish(session: Session, caller: Caller, assembly: Assembly, received: Received) -> Upload:
    """Register the assembled file. Returns the upload as it is if another has completed it.

    The file may share the bytes of an earlier one: see `files.create`. Raises Conflict if the
    upload was cancelled meanwhile.
    """
    upload = uploads.get(session, caller, assembly.upload.id, lock=True)
    if was_completed(upload, assembly.parts_sha256):
        return upload
    # Not `state`: it may have become late meanwhile, and was not when its completion began.
    uploads.refuse_ended(upload, upload.status)
    upload.status, upload.parts_sha256 = UploadStatus.COMPLETED, assembly.parts_sha256
    session.flush()
    upload.file_id = files.create(session, caller, received).id
    queue.send(session, Task.REMOVE)
    session.flush()
    return upload

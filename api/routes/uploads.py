"""`/v1/uploads`: a large file in parts, as OpenAI has it, and which parts have arrived."""

import asyncio
from typing import Annotated

from fastapi import Header, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from api import forms, threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.pages import ListPage
from api.schemas.text import Id
from api.schemas.uploads import CompleteUpload, CreateUpload, UploadObject, UploadPartObject
from models.base import new_id
from services.access.callers import Caller
from services.files import upload_completion, upload_parts, uploads
from services.files.upload_completion import Assembly
from services.files.upload_parts import ReceivedPart
from services.platform import storage
from services.platform.database import alone, reading, transaction
from services.platform.errors import OddsmithError

router = Router(prefix="/v1/uploads", tags=["files"])

FORM = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "format": "binary",
            "minLength": 1,
            "description": "The bytes of the part, at most 64 MiB.",
        },
        "sha256": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{64}$",
            "description": "That of the part; it is checked.",
        },
    },
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}
# How often a completion looks whether another one of the same upload has ended.
LOOK_S = 0.2


@router.post("", summary="Begin an upload in parts")
def create(session: SessionDep, caller: Writer, body: CreateUpload) -> UploadObject:
    """Announce a file: its name and its size. The upload expires if it is not completed in time,
    after an hour by default.
    """
    keep_s = body.expires_after.seconds if body.expires_after else None
    announced = uploads.Announced(body.filename, body.purpose, body.bytes, keep_s, body.columns)
    upload = uploads.create(session, caller, announced)
    return UploadObject.from_record(upload)


@router.get("/{upload_id}", summary="Retrieve an upload")
def retrieve(session: ReaderDep, caller: CallerDep, upload_id: Id) -> UploadObject:
    """Return an upload's state and, once it is completed, its file."""
    upload = uploads.get(session, caller, upload_id)
    return UploadObject.from_record(upload, uploads.file_of(session, upload))


@router.get(
    "/{upload_id}/parts",
    summary="List the parts that have arrived, the oldest first",
    response_model=ListPage[UploadPartObject],
)
def list_parts(
    session: ReaderDep,
    caller: CallerDep,
    upload_id: Id,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000), DIGITS_ONLY] = 10_000,
) -> Response:
    """List what was acknowledged, so that a client can resume. Once the upload is no longer
    pending, its parts are removed.
    """
    found = upload_parts.list_page(session, caller, upload_id, after=after, limit=limit)
    return page(map(UploadPartObject.from_record, found), limit)


@router.post("/{upload_id}/parts", summary="Add a part to an upload", openapi_extra=BODY)
async def add_part(
    request: Request,
    caller: Writer,
    upload_id: Id,
    idempotency_key: Annotated[
        str | SkipJsonSchema[None], Header(min_length=1, max_length=255)
    ] = None,
    x_stainless_retry_count: Annotated[int, Header(ge=0, lt=2**31), DIGITS_ONLY] = 0,
) -> UploadPartObject:
    """Store a part: the form's field `data`, and `sha256` if it is to be checked. Parts may be sent
    in parallel, in any order and again; only those that complete the upload count.
    """
    await threads.run(threads.REQUESTS, caller.account, refuse_early, caller, upload_id)
    part_id = new_id("part")
    wanted = expected(part_id)
    received = await forms.receive(request, caller.account, f"parts/{part_id}", wanted)
    return await threads.run(
        threads.REQUESTS,
        caller.account,
        register,
        caller,
        upload_id,
        received,
        idempotency_key,
        x_stainless_retry_count > 0,
    )


def refuse_early(caller: Caller, upload_id: str) -> None:
    """Raise what a part would be refused with, before its bytes are read."""
    with reading() as session:
        uploads.pending(session, caller, upload_id)


def expected(part_id: str) -> forms.Fields[ReceivedPart]:
    """What the form of a part holds."""

    def accept(sent: forms.Sent) -> ReceivedPart:
        part = ReceivedPart(part_id, sent.key, sent.size_bytes, sent.sha256)
        upload_parts.check(part, sent.fields["sha256"])
        return part

    most = upload_parts.MAX_PART_BYTES
    return forms.Fields("data", (), most, upload_parts.too_large, accept, ("sha256",))


def register(
    caller: Caller,
    upload_id: str,
    received: ReceivedPart,
    idempotency_key: str | None,
    is_retry: bool,
) -> UploadPartObject:
    """Store the row of a part whose bytes are stored; of a refused one, delete the bytes.

    If the database fails, the row may have been written: the bytes stay, and are removed as a
    leftover if they have no row.
    """
    try:
        with transaction() as session:
            part = upload_parts.add(
                session,
                caller,
                upload_id,
                received,
                idempotency_key=idempotency_key,
                is_retry=is_retry,
            )
    except OddsmithError:
        storage.delete(received.key)
        raise
    if part.storage_key != received.key:  # the upload had these bytes already
        storage.delete(received.key)
    return UploadPartObject.from_record(part)


@router.post("/{upload_id}/complete", summary="Make a file of an upload's parts")
async def complete(caller: Writer, upload_id: Id, body: CompleteUpload) -> UploadObject:
    """Put the parts together, in the order of the list. Their sizes must add up to `bytes`. A
    second request with the same list returns the same file.
    """
    while True:
        completed = await threads.run(
            threads.ASSEMBLING, caller.account, complete_alone, caller, upload_id, body
        )
        if completed is not None:
            return completed
        # Another request completes it: wait without a thread, and answer what came of it.
        await asyncio.sleep(LOOK_S)


def complete_alone(caller: Caller, upload_id: str, body: CompleteUpload) -> UploadObject | None:
    """Complete an upload; None while another request does. A failed completion leaves no bytes."""
    with reading() as session:
        uploads.get(session, caller, upload_id)  # only its own organisation may take its lock
    with alone(upload_id) as mine:
        if not mine:
            return None
        with transaction() as session:
            assembly = upload_completion.begin(session, caller, upload_id, body.part_ids, body.md5)
        if assembly is not None:
            finish(caller, assembly)
        with reading() as session:
            upload = uploads.get(session, caller, upload_id)
            return UploadObject.from_record(upload, uploads.file_of(session, upload))


def finish(caller: Caller, assembly: Assembly) -> None:
    """Assemble the parts and register the file. If that is refused, delete the assembled bytes."""
    received = upload_completion.assemble(assembly)
    try:
        with transaction() as session:
            upload = upload_completion.finish(session, caller, assembly, received)
            file = uploads.file_of(session, upload)
    except OddsmithError:
        storage.delete(received.key)
        raise
    if file is None or file.storage_key != received.key:
        storage.delete(received.key)


@router.post("/{upload_id}/cancel", summary="Cancel an upload, and remove its parts")
def cancel(session: SessionDep, caller: Writer, upload_id: Id) -> UploadObject:
    """Give a pending upload up. A cancelled one takes no parts and can't be completed."""
    return UploadObject.from_record(uploads.cancel(session, caller, upload_id))

"""`/v1/files`: OpenAI's paths and objects, and beside them the report."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic.json_schema import SkipJsonSchema

from api import forms, media, threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page, whole
from api.routing import Router
from api.schemas.body import DIGITS, DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.files import LEAST_S, MOST_S, FileObject, FileReport
from api.schemas.pages import ListPage
from api.schemas.text import Id, Text
from models import File
from models.base import new_id
from models.files import UPLOADED
from orpo.rows.column_names import MAX_TEXT
from services.access.callers import Caller
from services.files import column_names, files
from services.platform import storage
from services.platform.database import transaction
from services.platform.errors import Invalid
from services.platform.pages import Order
from services.platform.settings import get_settings

# As OpenAI's client spells an object in a form.
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
OPTIONAL = ("columns", ANCHOR, SECONDS)

router = Router(prefix="/v1/files", tags=["files"])

FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "minLength": 1,
            "description": "JSON lines, a JSON array, CSV or Parquet; JSON and CSV also in gzip "
            "or zstd. The content decides, not the name.",
        },
        "columns": {
            "type": "string",
            "maxLength": MAX_TEXT,
            "description": "Columns with other names, as a JSON object: "
            '{"prompt": "question", "chosen": "best", "rejected": "worst"}.',
        },
        "purpose": {"type": "string", "enum": [*UPLOADED]},
        ANCHOR: {"type": "string", "enum": ["created_at"]},
        SECONDS: {
            "type": "integer",
            "minimum": LEAST_S,
            "maximum": MOST_S,
            "description": "The file is deleted so many seconds after it was made.",
        },
    },
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}


@router.post("", summary="Upload a preference file", openapi_extra=BODY)
async def upload(request: Request, caller: Writer) -> FileObject:
    """Store a file. It is `uploaded` at first, and `processed` or `error` once its rows were read.
    The form has the fields `purpose` and `file`, and may have `columns`.
    """
    key = f"files/{new_id('upload')}"
    received = await forms.receive(request, caller.account, key, expected())
    return await threads.run(threads.REQUESTS, caller.account, register, caller, received)


def expected() -> forms.Fields[files.Received]:
    """What the form of an upload holds."""

    def accept(sent: forms.Sent) -> files.Received:
        received = files.Received(
            key=sent.key,
            filename=sent.filename,
            purpose=sent.fields["purpose"],
            size_bytes=sent.size_bytes,
            sha256=sent.sha256,
            columns=column_names.parsed(sent.fields["columns"]),
            keep_s=keep_s(sent.fields[ANCHOR], sent.fields[SECONDS]),
        )
        files.check(received.filename, received.purpose, received.size_bytes)
        return received

    most = get_settings().max_upload_bytes
    return forms.Fields("file", ("purpose",), most, files.too_large, accept, OPTIONAL)


def keep_s(anchor: str, seconds: str) -> int | None:
    """Return how long a form wants its file to be kept; None: until it is deleted."""
    if not anchor and not seconds:
        return None
    is_known = anchor == "created_at" and DIGITS.fullmatch(seconds)
    if not is_known or not LEAST_S <= int(seconds) <= MOST_S:
        raise Invalid(
            f"Send `{ANCHOR}` as `created_at` and `{SECONDS}` as {LEAST_S} to {MOST_S}, or neither "
            "of them.",
            param="expires_after",
        )
    return int(seconds)


def register(caller: Caller, received: files.Received) -> FileObject:
    """Store the record of a file whose bytes are stored. If that fails, delete the bytes."""
    try:
        with transaction() as session:
            record = files.create(session, caller, received)
    except BaseException:
        storage.delete(received.key)
        raise
    if record.storage_key != received.key:  # the organisation had these bytes already
        storage.delete(received.key)
    return FileObject.from_record(record)


@router.get("", summary="List files", response_model=ListPage[FileObject])
def list_files(
    session: ReaderDep,
    caller: CallerDep,
    purpose: Text | SkipJsonSchema[None] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000), DIGITS_ONLY] = 10_000,
    order: Order = Order.DESC,
) -> Response:
    """List uploaded files and the results of jobs."""
    found = files.list_page(session, caller, purpose=purpose, after=after, limit=limit, order=order)
    return page(map(FileObject.from_record, found), limit)


@router.get("/{file_id}", summary="Retrieve a file's record")
def retrieve(session: ReaderDep, caller: CallerDep, file_id: Id) -> FileObject:
    """Return a file's state and, once it was read, how many rows are accepted."""
    return FileObject.from_record(files.get(session, caller, file_id))


@router.delete("/{file_id}", summary="Delete a file, and its rows in the data of ended jobs")
def delete(session: SessionDep, caller: Writer, file_id: Id) -> Deleted:
    """Delete the bytes, and the rows in the data of ended jobs; 409 while another job uses it."""
    return Deleted(id=files.delete(session, caller, file_id).id, object="file")


@router.get(
    "/{file_id}/content",
    summary="Download a file as it was uploaded",
    response_class=StreamingResponse,
    responses=media.BYTES,
)
async def content(caller: CallerDep, file_id: Id) -> StreamingResponse:
    """Stream the bytes of an upload or of a job's result, as they were stored."""
    record = await threads.run(threads.REQUESTS, caller.account, find, caller, file_id)
    headers = {
        "Content-Length": str(record.size_bytes),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(record.filename)}",
    }
    sent = threads.iterate(threads.MOVING, caller.account, storage.chunks(record.storage_key))
    return StreamingResponse(sent, media_type="application/octet-stream", headers=headers)


def find(caller: Caller, file_id: str) -> File:
    """Return a file whose bytes may be handed out, or raise NotFound."""
    with transaction() as session:
        return files.open_content(session, caller, file_id)


@router.get(
    "/{file_id}/report", summary="What validation found, row by row", response_model=FileReport
)
def report(session: ReaderDep, caller: CallerDep, file_id: Id) -> Response:
    """Return what was accepted and why the rest was not; 409 until the file was read."""
    return whole(FileReport(file_id=file_id, **files.report(session, caller, file_id)))

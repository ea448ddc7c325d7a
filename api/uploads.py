"""A multipart upload, streamed into the storage in blocks of 1 MiB. Knows no database.

Starlette's own form parser would write each file twice: to /tmp and then to its place.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api import meters, threads
from models.base import new_id
from services.files import files
from services.files.files import Upload
from services.platform import storage
from services.platform.errors import Invalid
from services.platform.settings import get_settings

BLOCK_BYTES = 2**20
# Boundaries, headers and the other fields, beside the file itself.
MAX_FORM_BYTES = 2**16
MAX_BOUNDARY_BYTES = 70
# `file`, `purpose` and what a client adds. The parser limits the headers of each.
MAX_PARTS = 64


async def receive(request: Request, account: str) -> Upload:
    """Store the form's field `file` and return the upload; a refused one leaves no bytes.

    The threads that write are counted for `account`.
    """
    boundary = boundary_of(request)
    key = f"files/{new_id('upload')}"
    # Writing, hashing and syncing block, so they run in threads.
    with counted() as count:
        async with threads.opened(threads.MOVING, account, storage.writing(key)) as sink:
            form = Form(boundary, sink)
            async for block in blocks(request):
                await threads.run(threads.MOVING, account, form.feed, block)
                count(form.size_bytes)
            upload = form.finish(key)
    return upload


@contextmanager
def counted() -> Iterator[Callable[[int], None]]:
    """Count an upload by its outcome. Yields a call that counts its bytes, given the sum so far."""
    seen_bytes = 0

    def count(size_bytes: int) -> None:
        nonlocal seen_bytes
        meters.upload_bytes.inc(size_bytes - seen_bytes)
        seen_bytes = size_bytes

    outcome = "failed"
    try:
        yield count
        outcome = "stored"
    except Invalid:
        outcome = "refused"
        raise
    finally:
        meters.uploads.labels(outcome).inc()


def boundary_of(request: Request) -> bytes:
    """Return the form's boundary; raises Invalid if the body is not a form with a boundary."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Invalid("Send the file as multipart/form-data, with the fields `file` and `purpose`.")
    boundary = options[b"boundary"]
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise Invalid(
            f"The boundary of the form has {len(boundary)} characters; send 1 to "
            f"{MAX_BOUNDARY_BYTES} (RFC 2046)."
        )
    return boundary


async def blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about 1 MiB: one hop to a thread for many network reads."""
    max_bytes = get_settings().max_upload_bytes + MAX_FORM_BYTES
    waiting, total_bytes = bytearray(), 0
    async for chunk in request.stream():
        waiting += chunk
        total_bytes += len(chunk)
        if total_bytes > max_bytes:
            raise files.too_large()
        if len(waiting) >= BLOCK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


class Form:
    """Takes the body's bytes: the field `file` goes to the sink, `purpose` and `columns` are
    kept.
    """

    def __init__(self, boundary: bytes, sink: IO[bytes]) -> None:
        self.sink, self.sha256, self.size_bytes = sink, hashlib.sha256(), 0
        self.fields = {"purpose": bytearray(), "columns": bytearray()}
        self.filename: str | None = None
        self.field, self.ended = "", False
        self.header, self.value, self.disposition = bytearray(), bytearray(), b""
        self.parts, self.other_bytes = 0, 0
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self.begin,
                "on_header_field": lambda data, start, end: self.header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self.value.extend(data[start:end]),
                "on_header_end": self.end_header,
                "on_headers_finished": self.open_part,
                "on_part_data": self.take,
                "on_end": self.end,
            },
        )

    def feed(self, block: bytes) -> None:
        try:
            self.parser.write(block)
        except FormParserError:
            raise Invalid("The body is not valid multipart/form-data.") from None

    def finish(self, key: str) -> Upload:
        """Return the upload; raises Invalid if the form is incomplete or not accepted."""
        if not self.ended:
            raise Invalid("The body broke off before its end. Send the file again.")
        if self.filename is None:
            raise Invalid("Send the file as the form's field `file`.", param="file")
        purpose = self.fields["purpose"].decode(errors="replace")
        columns = self.fields["columns"].decode(errors="replace")
        sha256 = self.sha256.hexdigest()
        upload = Upload(key, self.filename, purpose, self.size_bytes, sha256, columns)
        files.check(upload)
        return upload

    def end(self) -> None:
        self.ended = True

    def begin(self) -> None:
        self.field, self.disposition = "", b""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise Invalid(f"The form has more than {MAX_PARTS} parts. Send `file` and `purpose`.")

    def end_header(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.disposition = bytes(self.value)
        self.header.clear()
        self.value.clear()

    def open_part(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.field = options.get(b"name", b"").decode(errors="replace")
        if self.field == "file":
            if self.filename is not None:
                raise Invalid("Send one file in each request.", param="file")
            self.filename = files.safe_name(options.get(b"filename", b"").decode(errors="replace"))

    def take(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self.field == "file":
            self.sink.write(piece)
            self.sha256.update(piece)
            self.size_bytes += len(piece)
            return
        self.other_bytes += len(piece)
        if self.other_bytes > MAX_FORM_BYTES:
            raise Invalid("The fields beside `file` are too long.", param=self.field or None)
        if self.field in self.fields:
            self.fields[self.field] += piece

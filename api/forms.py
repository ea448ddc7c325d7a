"""A form whose one file is streamed into the storage in blocks of 1 MiB. Knows no database.

Starlette's own form parser would write each file twice: to /tmp and then to its place.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Generic, TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api import meters, threads
from services.files import files
from services.platform import storage
from services.platform.errors import Invalid, TooLarge

BLOCK_BYTES = 2**20
# Boundaries, headers and the other fields, beside the file itself.
MAX_FORM_BYTES = 2**16
MAX_BOUNDARY_BYTES = 70
# The file, the other fields and what a client adds. The parser limits the headers of each.
MAX_PARTS = 64

Accepted = TypeVar("Accepted")


@dataclass(frozen=True)
class Sent:
    """What a form held: its file, whose bytes lie in the storage, and its other fields."""

    key: str
    filename: str
    size_bytes: int
    sha256: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Fields(Generic[Accepted]):
    """What a form may hold. `accept` makes the result, or raises Invalid."""

    file: str
    texts: tuple[str, ...]
    max_bytes: int
    too_large: Callable[[], TooLarge]
    accept: Callable[[Sent], Accepted]
    # Texts that may be missing.
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> str:
        return " and ".join(f"`{name}`" for name in (self.file, *self.texts))


async def receive(request: Request, account: str, key: str, wanted: Fields[Accepted]) -> Accepted:
    """Store the form's file at `key` and return what it holds; a refused one leaves no bytes.

    The threads that write are counted for `account`.
    """
    boundary = boundary_of(request, wanted)
    # Writing, hashing and syncing block, so they run in threads.
    with counted() as count:
        async with threads.opened(threads.MOVING, account, storage.writing(key)) as sink:
            form = Form(boundary, sink, wanted)
            async for block in blocks(request, wanted):
                await threads.run(threads.MOVING, account, form.feed, block)
                count(form.size_bytes)
            accepted = wanted.accept(form.finish(key))
    return accepted


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


def boundary_of(request: Request, wanted: Fields[Accepted]) -> bytes:
    """Return the form's boundary; raises Invalid if the body is not a form with a boundary."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Invalid(f"Send the body as multipart/form-data, with the fields {wanted.names}.")
    boundary = options[b"boundary"]
    if not 1 <= len(boundary) <= MAX_BOUNDARY_BYTES:
        raise Invalid(
            f"The boundary of the form has {len(boundary)} characters; send 1 to "
            f"{MAX_BOUNDARY_BYTES} (RFC 2046)."
        )
    return boundary


async def blocks(request: Request, wanted: Fields[Accepted]) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about 1 MiB: one hop to a thread for many network reads."""
    max_bytes = wanted.max_bytes + MAX_FORM_BYTES
    waiting, total_bytes = bytearray(), 0
    async for chunk in request.stream():
        waiting += chunk
        total_bytes += len(chunk)
        if total_bytes > max_bytes:
            raise wanted.too_large()
        if len(waiting) >= BLOCK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


class Form:
    """Takes the body's bytes: the file goes to the sink, the other wanted fields are kept."""

    def __init__(self, boundary: bytes, sink: IO[bytes], wanted: Fields[Accepted]) -> None:
        self.sink, self.sha256, self.size_bytes = sink, hashlib.sha256(), 0
        self.wanted = wanted
        self.fields = {name: bytearray() for name in (*wanted.texts, *wanted.optional)}
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

    def finish(self, key: str) -> Sent:
        """Return what was sent; raises Invalid if the form is incomplete or its file too large."""
        name = self.wanted.file
        if not self.ended:
            raise Invalid("The body broke off before its end. Send it again.")
        if self.filename is None:
            raise Invalid(f"Send the bytes as the form's field `{name}`.", param=name)
        if self.size_bytes > self.wanted.max_bytes:
            raise self.wanted.too_large()
        fields = {field: text.decode(errors="replace") for field, text in self.fields.items()}
        return Sent(key, self.filename, self.size_bytes, self.sha256.hexdigest(), fields)

    def end(self) -> None:
        self.ended = True

    def begin(self) -> None:
        self.field, self.disposition = "", b""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise Invalid(f"The form has more than {MAX_PARTS} parts. Send {self.wanted.names}.")

    def end_header(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.disposition = bytes(self.value)
        self.header.clear()
        self.value.clear()

    def open_part(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.field = options.get(b"name", b"").decode(errors="replace")
        if self.field == self.wanted.file:
            if self.filename is not None:
                raise Invalid("Send one file in each request.", param=self.field)
            self.filename = files.safe_name(options.get(b"filename", b"").decode(errors="replace"))

    def take(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self.field == self.wanted.file:
            self.sink.write(piece)
            self.sha256.update(piece)
            self.size_bytes += len(piece)
            return
        self.other_bytes += len(piece)
        if self.other_bytes > MAX_FORM_BYTES:
            raise Invalid(
                f"The fields beside `{self.wanted.file}` are too long.", param=self.field or None
            )
        if self.field in self.fields:
            self.fields[self.field] += piece

"""The bytes of a UTF-16 or UTF-32 text as UTF-8. Knows no rows."""

import codecs
import io

from typing_extensions import Buffer

from orpo.rows.row import Unreadable

READ_BYTES = 2**16
# The marks of UTF-32 begin like those of UTF-16, so they are looked for first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(head: bytes) -> str | None:
    """The encoding that the byte-order mark at the start names; None for UTF-8."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), None)


class Recoded(io.RawIOBase):
    """A raw stream of UTF-8 for `io.BufferedReader`, from a text that begins with a mark."""

    def __init__(self, source: io.RawIOBase, encoding: str):
        self.source, self.encoding = source, encoding
        self.decoder = codecs.getincrementaldecoder(encoding)()
        self.waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer)
        while not self.waiting:
            raw = self.source.read(READ_BYTES) or b""
            try:
                self.waiting = memoryview(self.decoder.decode(raw, final=not raw).encode())
            except UnicodeDecodeError as error:
                raise Unreadable(
                    "bad_encoding",
                    f"The file is not {self.encoding.upper()} from here on ({error.reason}). "
                    "Reading stopped here. Save the file as UTF-8.",
                ) from None
            if not raw:
                break
        given = self.waiting[: len(target)]
        self.waiting = self.waiting[len(given) :]
        target[: len(given)] = given
        return len(given)

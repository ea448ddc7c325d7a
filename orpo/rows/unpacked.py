"""The bytes of a gzip or zstd file, unpacked as they are read, within bounds.

Each class is a raw stream for `io.BufferedReader` over an unbuffered file. Knows no rows.
"""

import io
import os
import struct
import zlib
from typing import BinaryIO

import zstandard
from typing_extensions import Buffer

from orpo.rows import limits
from orpo.rows.row import Unreadable

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
READ_BYTES = 2**16
PADDING = b"\0"
CUT_OFF = "The {} data ends in the middle: the file was cut off. Upload the whole file."


def require_bounded(unpacked_bytes: int, packed_bytes: int) -> None:
    """Raise Unreadable if so many bytes were unpacked of so many that more is not read."""
    is_large = unpacked_bytes > limits.ANY_RATIO_BYTES
    if is_large and unpacked_bytes > limits.MAX_RATIO * packed_bytes:
        ratio = unpacked_bytes // max(packed_bytes, 1)
        raise Unreadable(
            "bomb",
            f"The file unpacks to {ratio} times its size; at most {limits.MAX_RATIO} times is "
            "read. Reading stopped here. If these are real rows, upload the file unpacked.",
        )
    if unpacked_bytes > limits.MAX_UNPACKED_BYTES:
        raise Unreadable(
            "bomb",
            f"The file unpacks to more than {limits.MAX_UNPACKED_BYTES >> 30} GB. Reading stopped "
            "here. Split the file.",
        )


class Unpacked(io.RawIOBase):
    """A stream of at most `MAX_RATIO` times the bytes of its file.

    Raises Unreadable when more would be read than the bounds allow.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        self.unpacked_bytes = 0

    def readable(self) -> bool:
        return True

    def counted(self, n_bytes: int) -> int:
        """Count bytes that were unpacked; raises Unreadable beyond the bounds."""
        self.unpacked_bytes += n_bytes
        require_bounded(self.unpacked_bytes, self.file.tell())
        return n_bytes


class Gunzip(Unpacked):
    """The bytes of gzip members, one after the other."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.member = zlib.decompressobj(wbits=31)
        self.waiting = b""
        self.members = 0

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer)
        while True:
            if self.member.eof and not self._next_member():
                return 0
            given = self.waiting or self.file.read(READ_BYTES)
            try:
                data = self.member.decompress(given, len(target))
            except zlib.error as error:
                raise Unreadable(
                    "bad_gzip",
                    f"The gzip data is damaged here ({error}). Reading stopped here. Compress the "
                    "file again.",
                ) from None
            self.waiting = self.member.unconsumed_tail or self.member.unused_data
            if data:
                target[: len(data)] = data
                return self.counted(len(data))
            if not given and not self.member.eof:
                raise Unreadable("truncated", CUT_OFF.format("gzip"))

    def _next_member(self) -> bool:
        """Begin the next member; False at the end of the file."""
        rest = self.waiting.lstrip(PADDING)
        while not rest:
            given = self.file.read(READ_BYTES)
            if not given:
                return False
            rest = given.lstrip(PADDING)
        if not GZIP.startswith(rest[: len(GZIP)]):
            raise Unreadable(
                "bad_gzip",
                "Something else follows the end of the gzip data, and is not read. Compress the "
                "file again.",
            )
        self.member, self.waiting = zlib.decompressobj(wbits=31), rest
        return True


class Unzstd(Unpacked):
    """The bytes of zstd frames, one after the other."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.reader = zstandard.ZstdDecompressor(
            max_window_size=limits.MAX_WINDOW_BYTES
        ).stream_reader(file, read_size=READ_BYTES, read_across_frames=True, closefd=False)

    def readinto(self, buffer: Buffer, /) -> int:
        try:
            n_bytes = self.reader.readinto(buffer)
        except zstandard.ZstdError as error:
            if "memory" in str(error):
                raise Unreadable(
                    "bad_zstd",
                    "The zstd data needs a window of more than "
                    f"{limits.MAX_WINDOW_BYTES >> 20} MB. Compress the file without --long, at a "
                    "level of 19 or less.",
                ) from None
            raise Unreadable(
                "bad_zstd",
                f"The zstd data is damaged here ({error}). Reading stopped here. Compress the "
                "file again.",
            ) from None
        # The reader takes the end of the file for the end of the data, wherever that is.
        if not n_bytes and not is_whole(self.file):
            raise Unreadable("truncated", CUT_OFF.format("zstd"))
        return self.counted(n_bytes)


def is_whole(file: BinaryIO) -> bool:
    """Whether a zstd file ends where its last frame does, by the sizes of its blocks (RFC 8878)."""
    at, size = 0, file.seek(0, os.SEEK_END)
    try:
        while at < size:
            at = _end_of_frame(file, at)
    except (struct.error, zstandard.ZstdError):
        return False
    finally:
        file.seek(size)
    return at == size


def _end_of_frame(file: BinaryIO, at: int) -> int:
    file.seek(at)
    head = file.read(18)  # the longest header of a frame
    (magic,) = struct.unpack_from("<I", head)
    if magic & 0xFFFFFFF0 == 0x184D2A50:  # a frame to be skipped
        return at + 8 + struct.unpack_from("<I", head, 4)[0]
    has_checksum = zstandard.get_frame_parameters(head).has_checksum
    at += zstandard.frame_header_size(head)
    while True:
        file.seek(at)
        first, second = struct.unpack("<BH", file.read(3))
        is_last, kind, n_bytes = first & 1, first >> 1 & 3, (second << 8 | first) >> 3
        at += 3 + (1 if kind == 1 else n_bytes)  # kind 1 repeats a single byte
        if is_last:
            return at + (4 if has_checksum else 0)

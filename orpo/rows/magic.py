"""What a file is that holds no rows, by its first bytes. Knows names and sentences."""

import re

PICKLE = re.compile(rb"\x80[\x02-\x05]")
TAR_AT = 257
OFFICE = (b"[Content_Types].xml", b"xl/workbook", b"word/document")  # names inside such a ZIP
# The first bytes, what such a file is, and what to do instead.
UNPACK = "Unpack it, and upload the file inside."
EXPORT = "Export the table as CSV or Parquet, and upload that."
NOT_ROWS = "Upload a file of rows: JSON, CSV or Parquet."
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF document", NOT_ROWS),
    (b"\x89PNG", "an image (PNG)", NOT_ROWS),
    (b"\xff\xd8\xff", "an image (JPEG)", NOT_ROWS),
    (b"GIF8", "an image (GIF)", NOT_ROWS),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 file", UNPACK),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", EXPORT),
    (b"SQLite format 3\0", "an SQLite database", EXPORT),
    (b"ARROW1", "an Arrow or Feather file", "Write it as Parquet, and upload that."),
    (b"ORC", "an ORC file", "Write it as Parquet, and upload that."),
    (b"Obj\x01", "an Avro file", "Write it as Parquet, and upload that."),
    (b"\x89HDF", "an HDF5 file", EXPORT),
    (b"\x93NUMPY", "a NumPy file", EXPORT),
    (b"\x7fELF", "a program", NOT_ROWS),
    (b"version https://git-lfs", "a pointer of Git LFS", "Run `git lfs pull`, and upload again."),
    (b"<!doctype html", "a web page", "Download the file itself, and upload that."),
    (b"<html", "a web page", "Download the file itself, and upload that."),
    (b"<?xml", "an XML file", NOT_ROWS),
)


def refused(head: bytes) -> str | None:
    """Why a file with this beginning is not read; None if it may hold rows."""
    if head.startswith(b"PK\x03\x04"):
        if any(name in head for name in OFFICE):
            return f"This is an Excel or Word file. {EXPORT}"
        return f"This is a ZIP archive. {UNPACK}"
    if head[TAR_AT : TAR_AT + 5] == b"ustar":
        return f"This is a tar archive. {UNPACK}"
    if PICKLE.match(head):
        return "This is a pickle, which may hold code and is never opened. Write it as Parquet."
    start = head.lstrip()[:64].lower()
    for magic, name, advice in KINDS:
        if head.startswith(magic) or (magic[:1] == b"<" and start.startswith(magic)):
            return f"This is {name}. {advice}"
    return None

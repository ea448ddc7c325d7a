"""Row 19: files that unpack to too much, nest too deeply, never end a line, or lead elsewhere."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.stack.parts import ROOT
from models import File
from services.access.callers import Caller
from services.files import files, seed
from services.platform import storage
from services.platform.database import reading, transaction
from tests import records
from workers import files as file_tasks

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
MIB = 2**20
GIB = 2**30
MAX_GROWTH_BYTES = 64 * MIB
ROW = b'{"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}\n'


def zip_slip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.jsonl", ROW)


def tar_with_links(path: Path) -> None:
    link = tarfile.TarInfo("rows.jsonl")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(link)
        up = tarfile.TarInfo("../outside.jsonl")
        up.size = len(ROW)
        archive.addfile(up, io.BytesIO(ROW))


def gzip_bomb(path: Path) -> None:
    """1,000:1, in blank lines of 1 KiB: each does no harm."""
    with gzip.open(path, "wb", 9) as file:
        for _ in range(256):
            file.write((b" " * 1023 + b"\n") * 1024)


def gzip_bomb_in_one_line(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        file.write(ROW + b'{"prompt": "')
        for _ in range(256):
            file.write(bytes(MIB))


def line_of_a_gigabyte(path: Path) -> None:
    """A line with a hole in it, so that it takes no room on the disk."""
    with path.open("wb") as file:
        file.write(ROW + b'{"prompt": "')
        file.truncate(GIB)
        file.seek(GIB)
        file.write(b'"}\n' + ROW)


def array_of_a_gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"[" + ROW + b',{"prompt": "')
        file.truncate(GIB)


def table_of_a_gigabyte(path: Path) -> None:
    """A quote that is never closed."""
    with path.open("wb") as file:
        file.write(b'prompt,chosen,rejected\na,b,c\nd,"')
        file.truncate(GIB)


def lines(*values: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(ROW + b"\n".join(values) + b"\n")

    return make


def long_file_with_a_bad_end(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(64):
            file.write(ROW * 8192)
        file.write(b'{"prompt": "Why?", "chosen": "Bec')


def parquet_without_its_end(path: Path) -> None:
    path.write_bytes(b"PAR1" + ROW * 1000)


@dataclass(frozen=True)
class Hostile:
    """How a file is made, the code of its finding, its line, and the words of its sentence."""

    make: Callable[[Path], None]
    code: str
    line: int
    says: str


FILES: dict[str, Hostile] = {
    "a gzip bomb": Hostile(gzip_bomb, "bomb", 1, "times its size"),
    "a gzip bomb in one line": Hostile(gzip_bomb_in_one_line, "bomb", 2, "times its size"),
    "a line of 1 GB": Hostile(line_of_a_gigabyte, "line_too_long", 2, "longer than 16 MB"),
    "an array of 1 GB": Hostile(array_of_a_gigabyte, "line_too_long", 2, "longer than 16 MB"),
    "a table of 1 GB": Hostile(table_of_a_gigabyte, "line_too_long", 3, "longer than 16 MB"),
    "JSON 100,000 deep": Hostile(
        lines(b"[" * 100_000 + b"]" * 100_000), "too_deep", 2, "nests too deeply"
    ),
    "ZIP with ../": Hostile(zip_slip, "unknown_container", 1, "This is a ZIP archive."),
    "tar with links": Hostile(tar_with_links, "unknown_container", 1, "This is a tar archive."),
    "NUL": Hostile(
        lines(ROW.replace(b"Why", rb"\u0000").strip()), "bad_text", 2, "NUL character"
    ),
    "a lone surrogate": Hostile(
        lines(ROW.replace(b"Why", rb"\ud800").strip()), "bad_text", 2, "half of a surrogate pair"
    ),
    "a bad last line": Hostile(long_file_with_a_bad_end, "bad_json", 64 * 8192 + 1, "Not JSON"),
    "Parquet cut off": Hostile(parquet_without_its_end, "bad_parquet", 1, "cut off or damaged"),
}  # fmt: skip


def judged(path: Path, filename: str) -> File:
    """Upload a file as the API does once its bytes are stored, and judge it as a worker does."""
    upload = files.Received(
        "files/hostile", files.safe_name(filename), "fine-tune", path.stat().st_size, "0"
    )
    files.check(upload.filename, upload.purpose, upload.size_bytes)
    with storage.writing_path(upload.key) as target:
        target.unlink(missing_ok=True)
        target.hardlink_to(path)
    with transaction() as session:
        file_id = files.create(session, CALLER, upload).id
    file_tasks.judge(file_id)
    with reading() as session:
        record = files.get(session, CALLER, file_id)
        session.expunge(record)
    return record


# Runs a module as `python -m` does, and then says how much memory this process held at most. The
# kernel's own count for a child (ru_maxrss) begins with what its parent held.
MEASURED = """
import contextlib, pathlib, re, runpy, sys
with contextlib.suppress(SystemExit):
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


MADE = ("rows", "offsets", "scores")  # the files that `orpo.validate` writes


def measured(path: Path, *tricks: str) -> tuple[dict[str, Any], int]:
    """What `orpo.validate` says, and the most memory that it held, in bytes."""
    without = ("tests.faults.without", ",".join(tricks)) if tricks else ()
    made = (path.with_name(name) for name in MADE)
    module = (*without, "orpo.validate", path, "a", *made)
    command = [sys.executable, "-c", MEASURED, *module]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    answer, peak_kib = done.stdout.decode().strip().splitlines()[-2:]
    return json.loads(answer), int(peak_kib) * 1024


@pytest.mark.faults
def test_row_19_hostile_files(product, seen, tmp_path):
    """A gzip bomb, JSON 100,000 deep, a line of 1 GB, `../` names, links, NUL, lone surrogates.

    Passes when each file ends as `processed` or `error` with the line and the reason, the check
    takes at most 64 MiB more than that of one row, and no file lies outside the storage. Guards:
    the bounds in `orpo/rows/limits.py`; archives are named, never unpacked.
    """
    folder = tmp_path / "sent"
    folder.mkdir()
    plain = folder / "plain"
    plain.write_bytes(ROW)
    _, usual_bytes = measured(plain)
    most_bytes = 0
    for name, hostile in FILES.items():
        path = folder / "upload"
        hostile.make(path)
        record = judged(path, f"../../{name}.jsonl")
        report = record.report
        assert report, name
        found = next(each for each in report["findings"] if each["code"] == hostile.code)
        assert (found["line"], hostile.says in found["message"]) == (hostile.line, True), found
        assert record.status == ("processed" if report["accepted"] else "error"), name
        assert "/" not in record.filename
        if "Parquet" not in name:  # Arrow alone takes more
            _, used_bytes = measured(path)
            most_bytes = max(most_bytes, used_bytes - usual_bytes)
            assert used_bytes - usual_bytes <= MAX_GROWTH_BYTES, (name, used_bytes, usual_bytes)
        path.unlink()
        for made in MADE:
            (folder / made).unlink(missing_ok=True)
    assert [path.name for path in folder.iterdir()] == ["plain"]
    assert not list(tmp_path.rglob("*outside*"))
    seen(f"{len(FILES)} files, each with line and reason; {most_bytes // MIB} MiB more at most")


@pytest.mark.faults
def test_row_19_needs_its_bounds(seen, tmp_path):
    """The same, and a row may have any length, and a file may unpack to any size."""
    line, bomb = tmp_path / "line", tmp_path / "bomb"
    line.write_bytes(ROW + b'{"prompt": "' + b" " * 100 * MIB)
    gzip_bomb(bomb)
    _, usual_bytes = measured(line)
    _, used_bytes = measured(line, "row_length")
    assert used_bytes - usual_bytes > MAX_GROWTH_BYTES
    report, _ = measured(bomb, "unpacking")
    assert report["dropped"] == {}
    more = (used_bytes - usual_bytes) // MIB
    seen(f"without them a row took {more} MiB more, and the bomb was unpacked")

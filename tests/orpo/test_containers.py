"""Containers by content: compressed, recoded, tables and Parquet; and what is wrong with them."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from orpo.rows import limits, unpacked
from orpo.rows.formats import Report, read_rows, validate
from tests.memory import peaks

ROWS = [
    {"prompt": f"Why {at}?", "chosen": f"Because, é🙂 {at}.", "rejected": "No\nidea."}
    for at in range(7)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, indent=1, ensure_ascii=False).encode()


def table(delimiter: str = ",", rows: list[dict[str, Any]] = ROWS, end: str = "\r\n") -> bytes:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]] = ROWS, category: bool = False, **options: Any) -> bytes:
    sink, held = io.BytesIO(), pa.Table.from_pylist(rows)
    if category:
        held = pa.table({name: held[name].dictionary_encode() for name in held.column_names})
    pq.write_table(held, sink, **options)
    return sink.getvalue()


def zstd(data: bytes, level: int = 3, size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(level, write_content_size=size).compress(data)


def checked(folder: Path, content: bytes, name: str = "upload", **options: Any) -> Report:
    path = folder / "upload"
    path.write_bytes(content)
    return validate(path, name, folder / "pairs.jsonl", **options)


def pairs(folder: Path) -> list[dict[str, str]]:
    found = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    return [
        {name: pair[name][0]["content"] for name in ("prompt", "chosen", "rejected")}
        for pair in found
    ]


CONTENTS: dict[str, bytes] = {
    "jsonl": LINES,
    "jsonl windows": LINES.replace(b"\n", b"\r\n"),
    "jsonl.gz": gzip.compress(LINES),
    "jsonl.gz members": gzip.compress(LINES[:100]) + gzip.compress(LINES[100:]) + b"\0" * 64,
    "jsonl.zst": zstd(LINES),
    "jsonl.zst frames": zstd(LINES[:100], size=False) + zstd(LINES[100:]),
    "jsonl utf-16": LINES.decode().encode("utf-16"),
    "jsonl utf-16-be": codecs.BOM_UTF16_BE + LINES.decode().encode("utf-16-be"),
    "jsonl.gz utf-32": gzip.compress(LINES.decode().encode("utf-32")),
    "json": ARRAY,
    "json.gz": gzip.compress(ARRAY),
    "json.zst": zstd(ARRAY),
    "json utf-16": ARRAY.decode().encode("utf-16"),
    "json old mac": ARRAY.replace(b"\n", b"\r"),
    "csv": table(),
    "csv bom": codecs.BOM_UTF8 + table(),
    "csv tabs": table("\t"),
    "csv semicolons": table(";"),
    "csv unix": table(end="\n"),
    "csv old mac": table(end="\r"),
    "csv utf-16": table("\t").decode().encode("utf-16"),
    "csv index": table(rows=[{"": at, **row} for at, row in enumerate(ROWS)]),
    "csv.gz": gzip.compress(table()),
    "csv.zst": zstd(table()),
    "parquet": parquet(),
    "parquet snappy": parquet(compression="snappy", row_group_size=2),
    "parquet dictionary": parquet(use_dictionary=True, compression="zstd"),
    "parquet category": parquet(category=True),
}


@pytest.mark.parametrize("name", ["upload", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_the_content_decides_the_container(tmp_path: Path, kind: str, name: str):
    content = CONTENTS[kind]
    seen: list[int] = []
    report = checked(tmp_path, content, name, on_progress=lambda _, at: seen.append(at))
    assert (report.accepted, report.rows, dict(report.dropped)) == (7, 7, {}), report.findings
    assert report.container == kind.partition(" ")[0]
    assert pairs(tmp_path) == ROWS
    assert seen[-1] == len(content)


def test_rows_of_a_table_carry_the_line_where_they_begin(tmp_path: Path):
    checked(tmp_path, table())
    found = [json.loads(line)["line"] for line in (tmp_path / "pairs.jsonl").open()]
    assert found == [2, 4, 6, 8, 10, 12, 14]  # each holds a line end


def test_nested_parquet_reads_as_its_json(tmp_path: Path):
    value = {
        "id": 7,
        "score": float("nan"),
        "prompt": [{"role": "user", "content": "Why?", "name": None}],
        "chosen": [{"role": "assistant", "content": "Because.", "name": None}],
        "rejected": [],
        "meta": {"tags": ["a", None], "deep": [[1], []]},
    }
    other = {**value, "rejected": value["chosen"], "chosen": None, "meta": None}
    path = tmp_path / "upload"
    path.write_bytes(parquet([value, other], row_group_size=2))
    rows = list(read_rows(path, "a"))
    assert [row.line for row in rows] == [1, 2]
    assert repr(rows[0].value) == repr(value)
    assert list(rows[1].value) == ["id", "score", "prompt", "rejected"]  # cells that are null


XLSX = b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml"
REFUSED: list[tuple[str, str, bytes]] = [
    ("unknown_container", "This is a ZIP archive. Unpack it", b"PK\x03\x04" + b"\0" * 40),
    ("unknown_container", "This is an Excel or Word file", XLSX),
    ("unknown_container", "a PDF document", b"%PDF-1.7\n%\xe2"),
    ("unknown_container", "an image (PNG)", b"\x89PNG\r\n\x1a\n"),
    ("unknown_container", "a pickle", b"\x80\x04\x95\x10"),
    ("unknown_container", "a tar archive", b"a/b.jsonl".ljust(257, b"\0") + b"ustar\0"),
    ("unknown_container", "Inside the compressed file: This is a tar", gzip.compress(
        b"a/b.jsonl".ljust(257, b"\0") + b"ustar\0", mtime=0)),
    ("unknown_container", "compressed twice", gzip.compress(gzip.compress(LINES))),
    ("unknown_container", "Parquet is compressed in itself", gzip.compress(parquet())),
    ("unknown_container", "Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:1"),
    ("unknown_container", "a web page", b"\n <!DOCTYPE html><html>"),
    ("bad_encoding", "without a byte-order mark", LINES.decode().encode("utf-16-le")),
    ("bad_encoding", "UTF-16 from here on", codecs.BOM_UTF16_LE + b"\x00\xd8a\0"),
    ("old_line_ends", "carriage return", LINES.replace(b"\n", b"\r")),
    ("bad_gzip", "damaged", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff"),
    ("bad_zstd", "damaged", b"\x28\xb5\x2f\xfd" + b"\xff" * 40),
    ("bad_parquet", "cut off or damaged", parquet()[:-9]),
    ("bad_parquet", "cut off or damaged", b"PAR1"),
    ("bad_table", "Two columns have the name a", b"a,b,a\n1,2,3\n"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "content"), REFUSED)
def test_what_is_not_read_is_named(tmp_path: Path, code: str, words: str, content: bytes):
    report = checked(tmp_path, content, "pairs.jsonl")
    assert (report.rows, dict(report.dropped)) == (1, {code: 1})
    finding = report.findings[0]
    assert finding.line == 1
    assert words in finding.message
    assert finding.message.endswith(".")


@pytest.mark.parametrize(
    ("whole", "code"),
    [(gzip.compress(LINES * 500), "truncated"), (zstd(LINES * 500), "truncated")],
)
def test_rows_before_a_cut_are_read(tmp_path: Path, whole: bytes, code: str):
    rows = 0
    for size in (len(whole) // 2, len(whole) - 1):
        report = checked(tmp_path, whole[:size])
        assert dict(report.dropped) == {code: 1}
        assert report.accepted >= rows
        assert report.findings[0].line == report.accepted + 1
        rows = report.accepted
    assert rows > 1000


def test_parquet_that_is_damaged_inside_is_read_up_to_there(tmp_path: Path):
    content = bytearray(parquet(ROWS * 1000, row_group_size=1000, compression="gzip"))
    at = len(content) // 2
    content[at : at + 64] = b"\xff" * 64
    report = checked(tmp_path, bytes(content))
    assert dict(report.dropped) == {"bad_parquet": 1}
    assert report.accepted > 1000
    assert f"Row {report.accepted + 1}: The Parquet file is cut off" in report.findings[0].message


def test_a_dropped_row_of_parquet_is_called_a_row(tmp_path: Path):
    report = checked(tmp_path, parquet([*ROWS, {**ROWS[0], "chosen": ""}]))
    assert report.findings[0].message == "Row 8: The chosen answer is empty."


def test_text_of_parquet_that_is_not_utf8_drops_its_row(tmp_path: Path):
    bad = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary()).view(pa.string())
    sink = io.BytesIO()
    columns = {"prompt": pa.array(["p"] * 3), "chosen": bad, "rejected": pa.array(["r"] * 3)}
    pq.write_table(pa.table(columns), sink)
    report = checked(tmp_path, sink.getvalue())
    assert (report.accepted, dict(report.dropped)) == (2, {"bad_utf8": 1})
    assert report.findings[0].line == 2


def test_rows_of_parquet_have_bounds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 2000)
    report = checked(tmp_path, parquet([*ROWS, {**ROWS[0], "chosen": "x" * 3000}, *ROWS]))
    assert (report.accepted, dict(report.dropped)) == (14, {"line_too_long": 1})
    assert report.findings[0].line == 8
    monkeypatch.setattr(limits, "ANY_RATIO_BYTES", 10_000)
    content = parquet([{**ROWS[0], "chosen": "x" * 1000}] * 1000)  # the text is stored once
    assert len(content) < 5000
    report = checked(tmp_path, content)
    assert dict(report.dropped) == {"bomb": 1}
    assert report.accepted < 1000


HEAD = b"prompt,chosen,rejected\n"
BROKEN_TABLES: list[tuple[str, str, int, int, bytes]] = [
    ("bad_table", "never closed. The 2 lines after", 3, 1, b'a,b,c\nd,"e,f\ng,h,i\nj,k,l\n'),
    ("bad_table", "two quotes", 2, 1, b'a,"b"x,c\nd,e,f\n'),
    ("bad_table", "has 2 fields, and the header has 3", 3, 2, b"a,b,c\nd,e\nf,g,h\n"),
    ("bad_utf8", "not UTF-8", 3, 2, b"a,b,c\nd,\xfce,f\ng,h,i\n"),
    # The quote is not closed within 200 characters: 33 of the rows after it are lost.
    ("line_too_long", "close its quote", 3, 68, b'a,b,c\nd,"' + b"g,h,i\n" * 100),
    ("line_too_long", "16 MB", 3, 2, b"a,b,c\n" + b"x" * 900 + b"\ng,h,i\n"),
]


@pytest.mark.parametrize(("code", "words", "line", "accepted", "rows"), BROKEN_TABLES)
def test_a_broken_row_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str, line: int,
    accepted: int, rows: bytes,
):  # fmt: skip
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 200)
    report = checked(tmp_path, HEAD + rows, "a.csv")
    assert report.accepted == accepted
    assert code in report.dropped
    finding = next(each for each in report.findings if each.code == code)
    assert (finding.line, words in finding.message) == (line, True), finding


def test_a_cell_may_spell_a_list(tmp_path: Path):
    rows = [{"prompt": "[1, 2]", "responses": '["a", "b"]', "scores": "[1, 2]"}]
    report = checked(tmp_path, table(rows=rows))
    assert report.shape == "ranked"
    assert pairs(tmp_path) == [{"prompt": "[1, 2]", "chosen": "b", "rejected": "a"}]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("content", [b"\n", LINES])
def test_a_bomb_ends_with_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], content: bytes
):
    monkeypatch.setattr(limits, "ANY_RATIO_BYTES", 2**18)
    packed = pack(content * (3 * 2**20 // len(content)))
    report = checked(tmp_path, packed)
    assert report.dropped["bomb"] == 1
    assert "times its size" in report.findings[-1].message
    monkeypatch.setattr(limits, "MAX_RATIO", 10**9)
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 2**20)
    assert checked(tmp_path, packed).dropped["bomb"] == 1


def test_a_window_larger_than_memory_allows_is_named(tmp_path: Path):
    options = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=options)
    sink = packed.compressobj()
    content = sink.compress(LINES * 2) + sink.flush()
    report = checked(tmp_path, content)
    assert dict(report.dropped) == {"bad_zstd": 1}
    assert "without --long" in report.findings[0].message


def test_the_end_of_zstd_data_follows_from_its_blocks():
    whole = zstd(LINES * 100) + b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd(b"x" * 300_000)
    assert unpacked.is_whole(io.BytesIO(whole))
    for size in (len(whole) - 1, len(whole) - 20, 6):
        assert not unpacked.is_whole(io.BytesIO(whole[:size]))


def test_memory_stays_flat_in_each_container(tmp_path: Path):
    rows = [{**ROWS[0], "chosen": f"{at} " + "x" * 2000} for at in range(2500)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    contents = (gzip.compress(lines, 1), zstd(lines), table(rows=rows), parquet(rows))
    for at, content in enumerate(contents):
        (tmp_path / f"upload-{at}").write_bytes(content)
    used = peaks(validate_here, *sorted(tmp_path.glob("upload-*")))
    assert max(used) < 10_000_000, used


def validate_here(path: Path) -> None:
    validate(path, "a", path.with_name("pairs.jsonl"))


TWICE: list[tuple[bytes, str | None]] = [
    (b'{"prompt": "a", "chosen": "b", "rejected": "c", "chosen": "d"}', "chosen"),
    (b'{"prompt":"a","chosen":"b","rejected":"c","chosen":"b"}', None),
    (b'{"prompt" : "a", "chosen" : "b", "rejected" : "c", "rejected" : "d"}', "rejected"),
    (b'{"prompt": "a \\"b\\": \\"c\\":", "chosen": ": b", "rejected": "c"}', None),
    (b'{"prompt": "a", "chosen": "b", "rejected": "c", "score": NaN, "id": 1, "id": 2}', "id"),
    (b'{"prompt": "a", "chosen": "b", "rejected": {"role": "gpt", "value": "x", "value": "y"}}',
     "value"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "key"), TWICE)
@pytest.mark.parametrize("form", [b"%b\n%b\n", b"[%b,\n%b]"])
def test_a_key_that_stands_twice_is_a_remark(
    tmp_path: Path, row: bytes, key: str | None, form: bytes
):
    report = checked(tmp_path, form % (row, row))
    assert report.accepted == 2
    found = [remark for remark in report.remarks.values() if remark.code == "duplicate_key"]
    assert [(remark.key, remark.lines) for remark in found] == ([(key, [1, 2])] if key else [])

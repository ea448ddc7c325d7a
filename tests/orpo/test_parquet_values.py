"""Columns of Parquet whose values JSON lacks, and files that are small and yet hold much."""

import io
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orpo.rows import limits, parquet
from orpo.rows.dictionaries import dictionary_bytes
from orpo.rows.formats import Report, read_rows, validate

PAIR = {"prompt": ["a", "b"], "chosen": ["x", "y"], "rejected": ["c", "d"]}
DAY = 86_400 * 10**9
FIRST = "1970-01-01 00:00:00.000000001"


def written(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "upload"
    pq.write_table(pa.table(columns), path)
    return path


def judged(folder: Path, columns: dict[str, Any]) -> Report:
    return validate(written(folder, columns), "a", folder / "pairs.jsonl")


def of(kind: pa.DataType, *values: Any) -> pa.Array:
    return pa.array(values, kind)


COLUMNS: dict[str, tuple[pa.Array, list[Any]]] = {
    "nanoseconds": (
        of(pa.timestamp("ns"), 1, DAY), [FIRST, "1970-01-02 00:00:00.000000000"],
    ),
    "a zone": (of(pa.timestamp("ns", "Nowhere/Land"), 1, None), [FIRST, None]),
    "a date": (of(pa.date32(), date(2026, 1, 2), None), ["2026-01-02", None]),
    "a time": (of(pa.time64("ns"), 1, 2), ["00:00:00.000000001", "00:00:00.000000002"]),
    "a duration": (of(pa.duration("ns"), 1, 2), ["1", "2"]),
    "decimals": (of(pa.decimal128(30, 3), Decimal("1.5"), None), [1.5, None]),
    "bytes of text": (of(pa.binary(), b"one", "zwölf".encode()), ["one", "zwölf"]),
    "other bytes": (of(pa.binary(), b"\xff", b"a"), [b"\xff", b"a"]),
    "a map": (
        of(pa.map_(pa.string(), pa.date32()), [("k", date(2026, 1, 2))], []),
        [{"k": "2026-01-02"}, {}],
    ),
    "times in lists of objects": (
        of(pa.list_(pa.struct([("at", pa.timestamp("ns"))])), [{"at": 1}], []),
        [[{"at": FIRST}], []],
    ),
    "decimals in objects": (
        of(pa.struct([("n", pa.large_list(pa.decimal128(4, 1)))]), {"n": [Decimal(1)]}, {"n": []}),
        [{"n": [1.0]}, {"n": []}],
    ),
    "a category of times": (
        of(pa.timestamp("ns"), 1, 1).dictionary_encode(), [FIRST] * 2,
    ),
}  # fmt: skip
# No date of Python's lies so far ahead.
OUT_OF_RANGE: dict[str, pa.Array] = {
    "microseconds": of(pa.timestamp("us"), 1, 2**62),
    "days": of(pa.date32(), 1, 2**30),
    "milliseconds": of(pa.date64(), 0, 86_400_000 * 2**35),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_that_json_lacks_stand_for_themselves(tmp_path: Path, name: str) -> None:
    column, values = COLUMNS[name]
    found = [row.value.get("other") for row in read_rows(written(tmp_path, {"other": column}), "a")]
    assert found == values


@pytest.mark.parametrize("column", [*COLUMNS, *OUT_OF_RANGE])
def test_a_column_that_is_not_read_drops_no_row(tmp_path: Path, column: str) -> None:
    other = COLUMNS[column][0] if column in COLUMNS else OUT_OF_RANGE[column]
    report = judged(tmp_path, PAIR | {"other": other})
    assert (report.accepted, dict(report.dropped)) == (2, {}), report.findings
    assert [remark.key for remark in report.remarks] == ["other"]


def test_scores_may_be_decimals(tmp_path: Path) -> None:
    scores = of(pa.list_(pa.decimal128(4, 1)), [Decimal(1), Decimal("2.5")])
    report = judged(tmp_path, {"prompt": ["p"], "responses": [["a", "b"]], "scores": scores})
    assert report.shape == "ranked"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    report = judged(tmp_path, PAIR | {"prompt": of(pa.binary(), b"\xff", b"\xfe")})
    assert "prompt is binary data; text" in report.findings[0].message
    when = of(pa.list_(pa.date32()), [date(2026, 1, 2)], [])
    report = judged(tmp_path, PAIR | {"prompt": when})
    assert "prompt[0] is a string; a message was expected" in report.findings[0].message


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    names = ["prompt", "chosen", "rejected", "prompt"]
    path = tmp_path / "upload"
    pq.write_table(pa.Table.from_arrays([pa.array([name]) for name in "abcd"], names), path)
    report = validate(path, "a", None)
    assert dict(report.dropped) == {"bad_table": 1}
    assert "Two columns have the name prompt; rename one." in report.findings[0].message


@pytest.mark.parametrize("kind", ["dictionary", "plain"])
def test_one_text_in_very_many_rows_does_not_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(parquet, "MOST_BATCH_BYTES", 1_000_000)
    sizes: list[int] = []
    monkeypatch.setattr(parquet, "plain", lambda batch: sizes.append(batch.nbytes) or batch)
    path = tmp_path / "upload"
    columns = {"prompt": pa.array(range(300)), "chosen": ["x" * 100_000] * 300}
    pq.write_table(pa.table(columns), path, use_dictionary=kind == "dictionary", compression="zstd")
    read = sum(1 for _ in parquet.read_parquet(path))
    assert max(sizes) < (1_100_000 if kind == "dictionary" else parquet.BATCH_BYTES)
    assert read > 200


HEADERS = [b"", b"\x15", b"\x15\x04\x15", b"\x15" + b"\xff" * 11, b"\x16" * 12]


@pytest.mark.parametrize("header", HEADERS)
def test_a_damaged_page_has_no_dictionary(header: bytes) -> None:
    column = SimpleNamespace(dictionary_page_offset=4, data_page_offset=4)
    group = SimpleNamespace(num_columns=1, column=lambda _: column)
    assert dictionary_bytes(io.BytesIO(b"PAR1" + header), group) == 0


def test_names_that_are_not_utf8_are_damage(tmp_path: Path) -> None:
    path = written(tmp_path, {"somewhere": ["a"]})
    path.write_bytes(path.read_bytes().replace(b"somewhere", b"some\xffhere"))
    report = validate(path, "a", None)
    assert (report.rows, dict(report.dropped)) == (1, {"bad_parquet": 1})
    assert "cut off or damaged" in report.findings[0].message


def test_rows_of_nothing_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANY_RATIO_BYTES", parquet.ROW_BYTES * 1000)
    monkeypatch.setattr(limits, "MAX_RATIO", 1)
    report = judged(tmp_path, {"prompt": pa.nulls(5000)})
    assert report.dropped["bomb"] == 1
    assert report.rows < 2000


def test_a_table_may_have_very_many_columns(tmp_path: Path) -> None:
    names = ",".join(f"c{at}" for at in range(100_000))
    (tmp_path / "a.csv").write_text(f"prompt,chosen,rejected,{names}\n{'1,' * 100_002}1\n")
    report = validate(tmp_path / "a.csv", "a.csv", None)
    assert (report.rows, dict(report.dropped)) == (1, {"identical": 1})

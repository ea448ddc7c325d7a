"""The original text of dropped rows, in files of every kind."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orpo.rows import dropped
from orpo.rows.dropped import originals
from orpo.rows.formats import validate

GOOD = {"prompt": "p", "chosen": "a", "rejected": "b"}
SAME = {"prompt": "p", "chosen": "same", "rejected": "same"}


def texts(path: Path) -> list[str | None]:
    findings = validate(path, path.name, None).findings
    return [found.text for found in originals(path, path.name, findings)]


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_line_is_shown_as_it_stands(tmp_path: Path) -> None:
    lines = ['{"prompt":  "p", "chosen": "x", "rejected": "x"}', "", json.dumps(GOOD), "{oops"]
    path = write(tmp_path, "a.jsonl", "\ufeff" + "\r\n".join(lines))
    assert texts(path) == [lines[0], "{oops"]


def test_rows_of_an_array_that_share_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", json.dumps([GOOD, SAME, 7, GOOD, {"text": "é"}]))
    assert texts(path) == [json.dumps(SAME), "7", '{"text": "é"}']


def test_where_an_array_breaks_off(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", "[\n" + json.dumps(SAME) + ",\n" + json.dumps(GOOD) + ",\n!]")
    assert texts(path) == [json.dumps(SAME), "!]"]


def test_lines_that_are_no_objects(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "a.jsonl", "not json\n" + json.dumps(SAME))) == [
        "not json",
        json.dumps(SAME),
    ]


def test_a_long_line_is_shown_at_the_column_at_fault(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": "' + "x" * 5000 + '"!}\n')
    (finding,) = validate(path, path.name, None).findings
    (found,) = originals(path, path.name, [finding])
    assert found.text is not None
    assert finding.column is not None
    assert '"!}' in found.text
    assert len(found.text) <= dropped.SHOWN
    assert found.first_character == finding.column - dropped.BEFORE + 1
    path = write(tmp_path, "b.jsonl", '{"a": "' + "x" * 5000 + '"}\n')
    assert len(texts(path)[0] or "") == dropped.SHOWN


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    assert texts(write(tmp_path, "a.jsonl", b"{\xff}\n")) == ["{\ufffd}"]
    assert texts(write(tmp_path, "b.jsonl", b"\x89PNG\r\n\x1a\n")) == [None]


def test_compressed_lines_and_other_encodings(tmp_path: Path) -> None:
    lines = "\n".join([json.dumps(GOOD), "{oops é", json.dumps(SAME)])
    expected = lines.split("\n")[1:]
    assert texts(write(tmp_path, "a.jsonl.gz", gzip.compress(lines.encode()))) == expected
    assert texts(write(tmp_path, "b.jsonl", lines.encode("utf-16"))) == expected


def test_rows_of_a_table_and_of_parquet(tmp_path: Path) -> None:
    table = 'prompt,chosen,rejected\np,"a\nb",c\np,x,x\n'
    row = json.dumps({"prompt": "p", "chosen": "x", "rejected": "x"})
    assert texts(write(tmp_path, "a.csv", table)) == [row]
    pq.write_table(pa.Table.from_pylist([GOOD, SAME]), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == [json.dumps(SAME)]


def test_columns_with_other_names(tmp_path: Path) -> None:
    rows = [{"q": "p", "chosen": "a", "rejected": "b"}, {"q": "p", "chosen": "x", "rejected": "x"}]
    path = write(tmp_path, "a.json", json.dumps(rows))
    columns = {"prompt": "q"}
    findings = validate(path, path.name, None, columns=columns).findings
    (found,) = originals(path, path.name, findings, columns)
    assert found.text == json.dumps(rows[1])


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_of_a_surrogate_pair_can_be_printed(tmp_path: Path, name: str) -> None:
    row = '{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}'
    (found,) = texts(write(tmp_path, name, f"[{row}]"))
    assert "\\ud800" in (found or "")
    (found or "").encode()

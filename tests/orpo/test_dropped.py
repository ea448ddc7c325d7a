"""The original text of dropped rows, in files of every kind."""

import gzip
import json
from pathlib import Path

import pytest

from orpo.rows import dropped
from orpo.rows.dropped import Original, originals
from orpo.rows.formats import Finding, validate

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


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b"{\xff}\n\x1f\x8b\n")
    assert texts(path)[0] == "{\ufffd}"
    packed = write(tmp_path, "b.jsonl", gzip.compress(b"{}"))
    finding = Finding(1, None, "bad_utf8", "")
    assert originals(packed, packed.name, [finding]) == [Original(None)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_of_a_surrogate_pair_can_be_printed(tmp_path: Path, name: str) -> None:
    row = '{"prompt": "\\ud800", "chosen": "a", "rejected": "b"}'
    (found,) = texts(write(tmp_path, name, f"[{row}]"))
    assert "\\ud800" in (found or "")
    (found or "").encode()

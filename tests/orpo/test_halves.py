"""A file that two processes judge has the result of one that a single process judges."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpo.rows import formats, halves, limits
from orpo.rows.columns import Remark
from orpo.rows.halves import Source
from orpo.rows.index import Index
from orpo.rows.lines import half_of, read_lines
from orpo.rows.report import Report
from orpo.rows.row import Half, Inseparable, Row

PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}


def rows() -> list[Any]:
    """Good rows, rows with remarks, and rows that are dropped, in no order."""
    made: list[Any] = []
    for at in range(400):
        made.append({**PAIR, "prompt": f"Why {at}?", "id": at})
        if at % 7 == 0:
            made.append({**PAIR, f"key{at % 5}": at, "score_chosen": at % 3, "score_rejected": 1})
        if at % 11 == 0:
            made += [{**PAIR, "chosen": ""}, {"prompt": at}, [PAIR], ""]
    return made


def lines(values: list[Any], end: str = "\n") -> bytes:
    return end.join(value if value == "" else json.dumps(value) for value in values).encode()


def parquet(n: int = 3000, **options: Any) -> bytes:
    columns = {
        **{name: [f"{text} {at}" for at in range(n)] for name, text in PAIR.items()},
        "margin": [None if at % 3 else at - 1000.0 for at in range(n)],
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def damaged(content: bytes, share: float) -> bytes:
    at = int(len(content) * share)
    return content[:at] + b"\xff" * 64 + content[at + 64 :]


THUMBS = [{"prompt": "Why?", "completion": f"{at}", "label": at < 50} for at in range(100)]
MANY_KEYS = [{**PAIR, f"a{at}": 1, f"b{at}": 1} for at in range(90)]
CONTENTS: dict[str, bytes] = {
    "lines": lines(rows()) + b"\n",
    "lines, byte-order mark, carriage returns": b"\xef\xbb\xbf" + lines(rows(), "\r\n"),
    "a good half and a bad one": lines([*[PAIR] * 50, *["x"] * 200]),
    "other names": lines([{"question": "Why?", "best": "a", "worst": "b"}] * 60),
    "thumbs": lines(THUMBS),
    "many keys": lines(MANY_KEYS),
    "one line": lines([PAIR]),
    "nothing": b"\n",
    "long lines": lines([PAIR, {**PAIR, "chosen": "x" * 5000}, PAIR]),
    "array": json.dumps([PAIR] * 5).encode(),
    "parquet": parquet(),
    "parquet in groups": parquet(row_group_size=700),
    "parquet, first half damaged": damaged(parquet(row_group_size=100, compression="none"), 0.2),
    "parquet, second half damaged": damaged(parquet(row_group_size=100, compression="none"), 0.8),
}


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(halves, "PROCESSES", 1)  # on a single core, too
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 3000)


@pytest.mark.parametrize("columns", [None, {"prompt": "question", "chosen": "best"}])
@pytest.mark.parametrize("kind", CONTENTS)
def test_two_processes_find_what_one_finds(tmp_path: Path, kind: str, columns: Any) -> None:
    path, index = tmp_path / "upload", Index()
    path.write_bytes(CONTENTS[kind])
    alone = formats.validate(path, "a", tmp_path / "alone", columns=columns, index=index)
    report, found = halves.validate(Source(path, "a", columns), tmp_path / "both")
    assert report.to_json() == alone.to_json()
    assert (tmp_path / "both").read_bytes() == (tmp_path / "alone").read_bytes()
    assert vars(found) == vars(index)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["alone", "both", "upload"]


@given(st.lists(st.sampled_from([b"1", b"22", b"x" * 4000, b"", b" "])), st.booleans())
def test_each_line_is_in_one_half(some: list[bytes], ends: bool) -> None:
    content = b"\n".join(some) + (b"\n" if ends else b"")

    def read(half: Half | None) -> list[Row]:
        file = io.BytesIO(content)
        return list(read_lines(file, half_of(file, half)) if half else read_lines(file))

    assert [*read(Half.FIRST), *read(Half.SECOND)] == read(None)


def test_an_error_of_the_second_process_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(half: Half, *arguments: Any) -> Any:
        if half is Half.SECOND:
            raise OSError(28, "No space left on device")
        return judged(half, *arguments)

    judged = halves._judged
    monkeypatch.setattr(halves, "_judged", full)
    path = tmp_path / "upload"
    path.write_bytes(CONTENTS["lines"])
    with pytest.raises(OSError, match="No space left"):
        halves.validate(Source(path, "a"), tmp_path / "both")
    assert not (tmp_path / "both.part").exists()


def test_more_remarks_than_are_kept_are_not_joined() -> None:
    first, second = Report(), Report()
    for at in range(60):
        first.remark([Remark("unused_key", f"a{at}")], 1)
        second.remark([Remark("unused_key", f"b{at}")], 2)
    before = replace(first)
    with pytest.raises(Inseparable):
        first.add(second)
    assert first == before

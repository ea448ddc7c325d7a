"""Reads preference files; writes accepted pairs in one normal form, and a report of the other rows.

Knows nothing of tokens, models or devices (imports no torch): the API's workers use it too.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from orpo.contract.held_out import hold_out
from orpo.rows.columns import KEPT, Remark
from orpo.rows.index import Index
from orpo.rows.messages import Message, Pair, Reject
from orpo.rows.row_shapes import Shape, detect, parse, read, why_no_shape
from orpo.rows.rows import CHUNK_BYTES, Finding, Row, read_rows

__all__ = [
    "Finding",
    "Message",
    "Pair",
    "Reject",
    "Report",
    "Row",
    "Shape",
    "detect",
    "hold_out",
    "parse",
    "read_rows",
    "validate",
]

MAX_FINDINGS = 100
LINES_OF_A_REMARK = 10
OTHER_KEYS = "other keys"
ROWS_PER_PROGRESS = 1000


@dataclass
class Remarked:
    """Accepted rows of which the same can be said: how many, and the lines of the first ten."""

    code: str
    key: str
    rows: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass
class Report:
    """What validation found: rows = accepted + sum(dropped); `findings` are the first 100.

    `remarks` are about accepted rows, one for each code and key.
    """

    rows: int = 0
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    shapes: Counter[Shape] = field(default_factory=Counter)
    remarks: dict[Remark, Remarked] = field(default_factory=dict)

    @property
    def shape(self) -> Shape | None:
        """The most common shape among the accepted rows."""
        return self.shapes.most_common(1)[0][0] if self.shapes else None

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values, `shape` included."""
        # `asdict` would rebuild a Counter from its pairs, which counts the pairs.
        shapes = {str(shape): n for shape, n in self.shapes.items()}
        counters = {"dropped": dict(self.dropped), "shapes": shapes}
        found = {**asdict(self), **counters}
        return {**found, "remarks": list(found["remarks"].values()), "shape": self.shape}

    def remark(self, remarks: list[Remark], line: int) -> None:
        """Count a row under each of its remarks; keys beyond the first hundred are counted
        together.
        """
        counted: set[Remark] = set()
        for remark in map(self._kept, remarks):
            if remark in counted:
                continue
            counted.add(remark)
            found = self.remarks.setdefault(remark, Remarked(*remark))
            found.rows += 1
            if len(found.lines) < LINES_OF_A_REMARK:
                found.lines.append(line)

    def _kept(self, remark: Remark) -> Remark:
        if remark in self.remarks or len(self.remarks) < KEPT:
            return remark
        return Remark(remark.code, OTHER_KEYS)

    def drop(self, finding: Finding) -> None:
        """Count a dropped row, and keep its finding if it is among the first 100."""
        self.dropped[finding.code] += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def validate(
    src_path: Path,
    filename: str,
    out_path: Path | None,
    on_progress: Callable[[int, int], None] | None = None,
    index: Index | None = None,
) -> Report:
    """Read `src_path` row by row; write accepted pairs to `out_path`, one normal form a line.

    `on_progress(rows, bytes_read)` is called every 1,000 rows and at the end. `index` is filled
    with what is known of each accepted row. Memory use is constant but for the index, which takes
    eight bytes a row. Raises OSError where a file can't be read or written; bad rows never raise.
    """
    report, offset_bytes = Report(), 0
    with (out_path or Path(os.devnull)).open("wb", CHUNK_BYTES) as out:
        for row in read_rows(src_path, filename):
            report.rows += 1
            offset_bytes = row.offset_bytes
            pair = _accept(row, report)
            if pair:
                size_bytes = out.write(
                    orjson.dumps(pair.to_json(), option=orjson.OPT_APPEND_NEWLINE)
                )
                if index is not None:
                    index.add(size_bytes, row.value)
            if on_progress and report.rows % ROWS_PER_PROGRESS == 0:
                on_progress(report.rows, offset_bytes)
    if on_progress:
        on_progress(report.rows, offset_bytes)
    return report


def _accept(row: Row, report: Report) -> Pair | None:
    if row.finding:
        report.drop(row.finding)
        return None
    try:
        shape = _shape(row.value)
        pair, remarks = read(row.value, shape, row.line)
    except Reject as reject:
        report.drop(Finding(row.line, None, reject.code, reject.message))
        return None
    report.accepted += 1
    report.shapes[shape] += 1
    report.remark(remarks, row.line)
    return pair


def _shape(value: Any) -> Shape:
    shape = detect(value)
    if shape is None:
        raise Reject("not_a_pair", why_no_shape(value))
    return shape

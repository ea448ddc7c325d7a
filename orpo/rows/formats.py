"""Reads preference files; writes accepted pairs in one normal form, and a report of the other rows.

Knows nothing of tokens, models or devices (imports no torch): the API's workers use it too.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from orpo.contract.held_out import hold_out
from orpo.rows import limits
from orpo.rows.column_names import Columns, Renamer
from orpo.rows.columns import KEPT, Remark
from orpo.rows.containers import Kind
from orpo.rows.index import Index
from orpo.rows.messages import Message, Pair, Reject
from orpo.rows.plain import plain
from orpo.rows.row_shapes import Shape, detect, parse, read, why_no_shape
from orpo.rows.rows import Finding, Row, container_name, read_rows
from orpo.rows.suggested import Sample
from orpo.rows.thumbs import Thumbs, is_good

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
    """What validation found: rows = accepted + joined + sum(dropped); `findings` are the first 100.

    `joined` rows are the other half of an accepted pair (`thumbs`). `remarks` are about accepted
    rows, one for each code and key. `suggested_columns` is a mapping under which rows would be
    accepted, if none is.
    """

    rows: int = 0
    accepted: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    shapes: Counter[Shape] = field(default_factory=Counter)
    remarks: dict[Remark, Remarked] = field(default_factory=dict)
    container: str | None = None
    joined: int = 0
    suggested_columns: Columns | None = None

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
        if len(self.findings) >= MAX_FINDINGS:
            return
        if self.container == Kind.PARQUET:  # which has no lines
            finding = replace(finding, message=f"Row {finding.line}: {finding.message}")
        self.findings.append(finding)


def validate(
    src_path: Path,
    filename: str,
    out_path: Path | None,
    on_progress: Callable[[int, int], None] | None = None,
    columns: Columns | None = None,
    index: Index | None = None,
) -> Report:
    """Read `src_path` row by row; write accepted pairs to `out_path`, one normal form a line.

    `on_progress(rows, bytes_read)` is called every 1,000 rows and at the end. `columns` says which
    columns have other names. `index` is filled with what is known of each accepted row. Memory use
    is constant but for the index, which takes eight bytes a row. Raises OSError where a file can't
    be read or written; bad rows never raise.
    """
    report, offset_bytes = Report(container=container_name(src_path, filename)), 0
    with (
        (out_path or Path(os.devnull)).open("wb", limits.CHUNK_BYTES) as out,
        Thumbs(out_path and out_path.parent) as thumbs,
    ):
        judge = _Judge(report, Renamer(columns), thumbs)
        for row in read_rows(src_path, filename):
            report.rows += 1
            offset_bytes = row.offset_bytes
            accepted = judge.accept(row)
            if accepted:
                size_bytes = out.write(orjson.dumps(accepted, option=orjson.OPT_APPEND_NEWLINE))
                if index is not None:
                    index.add(size_bytes, row.value)
            if on_progress and report.rows % ROWS_PER_PROGRESS == 0:
                on_progress(report.rows, offset_bytes)
        judge.end()
    if on_progress:
        on_progress(report.rows, offset_bytes)
    return report


class _Judge:
    """Judges the rows of a file one by one, and keeps the report."""

    def __init__(self, report: Report, renamed: Renamer, thumbs: Thumbs):
        self.report, self.renamed, self.thumbs = report, renamed, thumbs
        self.sample = Sample()

    def accept(self, row: Row) -> dict[str, Any] | None:
        """The normal form of a row's pair, if it has one; the report says why not."""
        value = self.renamed(row.value)
        found = plain(value, row.line) if row.finding is None and row.repeated is None else None
        if found is None:
            pair = self._pair(row, value)
            return pair.to_json() if pair else None
        self.report.accepted += 1
        self.report.shapes[Shape.EXPLICIT] += 1
        return found

    def _pair(self, row: Row, value: Any) -> Pair | None:
        """The pair of a row whose value has the names that shapes read."""
        report = self.report
        if row.finding:
            report.drop(row.finding)
            return None
        try:
            shape = detect(value)
            if shape is None:
                self.sample.add(row.value)
                raise Reject("not_a_pair", why_no_shape(value))  # noqa: TRY301
            pair, remarks = read(value, shape, row.line)
        except Reject as reject:
            report.drop(Finding(row.line, None, reject.code, reject.message))
            return None
        if row.repeated is not None:
            remarks = [*remarks, Remark("duplicate_key", row.repeated)]
        report.remark(remarks, row.line)
        if shape is Shape.THUMBS:
            return self._paired(pair, is_good(value))
        report.accepted += 1
        report.shapes[shape] += 1
        return pair

    def _paired(self, thumb: Pair, good: bool) -> Pair | None:
        found = self.thumbs.pair(thumb, good)
        if found is None:
            return None
        pair, line = found
        if pair.chosen == pair.rejected:
            message = f"Lines {line} and {thumb.line} judge one answer to one prompt differently."
            for each in (line, thumb.line):
                self.report.drop(Finding(each, None, "identical", message))
            return None
        self.report.accepted += 1
        self.report.joined += 1
        self.report.shapes[Shape.THUMBS] += 1
        return pair

    def end(self) -> None:
        """Count the answers without a pair, and say what a mapping of columns lacks."""
        for line, good in self.thumbs.unpaired():
            mark, other = ("up", "down") if good else ("down", "up")
            message = f"This answer has a thumb {mark}, and no answer to its prompt a thumb {other}"
            self.report.drop(Finding(line, None, "unpaired", f"{message} that is left."))
        missing = self.renamed.findings() if self.report.rows else []
        self.report.findings = [*missing, *self.report.findings][:MAX_FINDINGS]
        if not self.report.accepted:
            self.report.suggested_columns = self.sample.suggest(_is_pair)


def _is_pair(value: Any) -> bool:
    shape = detect(value)
    try:
        return shape is not None and read(value, shape, 1)[0].rejected is not None
    except Reject:
        return False

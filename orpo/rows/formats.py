"""Reads preference files; writes accepted pairs in one normal form, and a report of the other rows.

Knows nothing of tokens, models or devices (imports no torch): the API's workers use it too.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from orpo.contract.held_out import hold_out
from orpo.rows import limits
from orpo.rows.column_names import Columns, Renamer
from orpo.rows.columns import Remark
from orpo.rows.index import Index
from orpo.rows.messages import Message, Pair, Reject
from orpo.rows.plain import plain
from orpo.rows.report import MAX_FINDINGS, Report
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

ROWS_PER_PROGRESS = 1000


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
    is constant but for eight bytes an accepted row. Raises OSError where a file can't be read or
    written; bad rows never raise.
    """
    with Thumbs(out_path and out_path.parent) as thumbs:
        container = container_name(src_path, filename)
        judge = Judge(container, Renamer(columns), thumbs, index or Index())
        judge.write(read_rows(src_path, filename), out_path, on_progress)
        return judge.end()


class Judge:
    """Judges the rows of a file, or of one half of it, and keeps what is known of them."""

    def __init__(self, container: str | None, renamed: Renamer, thumbs: Thumbs, index: Index):
        self.report, self.index = Report(container=container), index
        self.renamed, self.thumbs = renamed, thumbs
        self.sample = Sample()

    def write(
        self,
        rows: Iterable[Row],
        out_path: Path | None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Judge rows and write the accepted ones; see `validate`."""
        report, offset_bytes = self.report, 0
        with (out_path or Path(os.devnull)).open("wb", limits.CHUNK_BYTES) as out:
            for row in rows:
                report.rows += 1
                offset_bytes = row.offset_bytes
                accepted = self.accept(row)
                if accepted:
                    size_bytes = out.write(orjson.dumps(accepted, option=orjson.OPT_APPEND_NEWLINE))
                    self.index.add(size_bytes, row.value)
                if on_progress and report.rows % ROWS_PER_PROGRESS == 0:
                    on_progress(report.rows, offset_bytes)
        if on_progress:
            on_progress(report.rows, offset_bytes)

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

    def add(self, later: "Judge") -> None:
        """Take over what is known of the half that follows; raises Inseparable (`Report.add`)."""
        self.report.add(later.report)
        self.index.extend(later.index)
        self.renamed.add(later.renamed)
        self.sample.extend(later.sample)

    def end(self) -> Report:
        """Count the answers without a pair, and say what a mapping of columns lacks."""
        for line, good in self.thumbs.unpaired():
            mark, other = ("up", "down") if good else ("down", "up")
            message = f"This answer has a thumb {mark}, and no answer to its prompt a thumb {other}"
            self.report.drop(Finding(line, None, "unpaired", f"{message} that is left."))
        missing = self.renamed.findings() if self.report.rows else []
        self.report.findings = [*missing, *self.report.findings][:MAX_FINDINGS]
        if not self.report.accepted:
            self.report.suggested_columns = self.sample.suggest(_is_pair)
        return self.report


def _is_pair(value: Any) -> bool:
    shape = detect(value)
    try:
        return shape is not None and read(value, shape, 1)[0].rejected is not None
    except Reject:
        return False

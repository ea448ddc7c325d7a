"""What validation found in a file, or in a half of it. Knows findings and remarks."""

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orpo.rows.column_names import Columns
from orpo.rows.columns import KEPT, Remark
from orpo.rows.containers import Kind
from orpo.rows.row import Finding, Inseparable
from orpo.rows.row_shapes import Shape

MAX_FINDINGS = 100
LINES_OF_A_REMARK = 10
OTHER_KEYS = "other keys"
CUT_SHORT = frozenset(("bad_parquet", "bad_table", "bomb"))


@dataclass
class Remarked:
    """Accepted rows of which the same can be said: how many, and the lines of the first ten."""

    code: str
    key: str
    rows: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, rows: int, lines: list[int]) -> None:
        """Count later rows, of which `lines` are the first."""
        self.rows += rows
        self.lines += lines[: LINES_OF_A_REMARK - len(self.lines)]


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

    @property
    def is_cut_short(self) -> bool:
        """Whether a damaged place ended the reading before the last row."""
        return not CUT_SHORT.isdisjoint(self.dropped)

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
            if remark not in counted:
                counted.add(remark)
                self.remarks.setdefault(remark, Remarked(*remark)).add(1, [line])

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

    def add(self, later: "Report") -> None:
        """Count the rows that follow these in the file.

        Raises Inseparable if together they have more remarks than are kept one by one: a row of
        which several are not kept counts once.
        """
        if len(self.remarks.keys() | later.remarks.keys()) > KEPT:
            raise Inseparable
        self.rows += later.rows
        self.accepted += later.accepted
        self.joined += later.joined
        self.dropped.update(later.dropped)
        self.shapes.update(later.shapes)
        self.findings = [*self.findings, *later.findings][:MAX_FINDINGS]
        for remark, found in later.remarks.items():
            self.remarks.setdefault(remark, Remarked(*remark)).add(found.rows, found.lines)

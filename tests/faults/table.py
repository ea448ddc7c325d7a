"""What each row did, saw and showed: printed at the end, and kept in docs/reliability.md.

A row is a test named `test_row_NN_...`; what is done stands in the first line of its docstring.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROW = re.compile(r"test_row_(\d\d)_")
HEAD = "| # | done | seen | result |\n| --- | --- | --- | --- |\n"
# Everything in the document from here on is written by `make faults`.
BEGIN = "<!-- written by `make faults` -->"
EXPECTED = frozenset(range(1, 21))


@dataclass(frozen=True)
class Line:
    row: int
    done: str
    seen: str
    result: str

    def __str__(self) -> str:
        seen = self.seen.replace("|", "/").replace("\n", " ") or "-"
        return f"| {self.row} | {self.done} | {seen} | {self.result} |"


def row_of(test: str) -> int | None:
    found = ROW.search(test)
    return int(found[1]) if found else None


def first_sentence(doc: str | None) -> str:
    return (doc or "").strip().partition("\n\n")[0].replace("\n    ", " ")


def missing(lines: list[Line]) -> list[int]:
    """Rows that have no line, or one that did not pass."""
    bad = {line.row for line in lines if line.result != "pass"}
    return sorted((EXPECTED - {line.row for line in lines}) | bad)


def written(lines: list[Line], minutes: float) -> str:
    ordered = sorted(lines, key=lambda line: line.row)
    passed = sum(line.result == "pass" for line in lines)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    said = f"{passed} of {len(lines)} passed on {day}, in {minutes:.0f} minutes."
    return f"{said}\n\n{HEAD}" + "\n".join(map(str, ordered)) + "\n"


def keep(lines: list[Line], minutes: float, document: Path) -> None:
    """Replace the table of the document; its text above stays."""
    text = document.read_text().partition(BEGIN)[0]
    document.write_text(f"{text}{BEGIN}\n\n{written(lines, minutes)}")

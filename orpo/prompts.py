"""`python -m orpo.prompts SOURCE NAME ROWS COLUMNS [PROGRESS]`: read a file of prompts.

Writes the rows that ask something to ROWS in their normal form, one JSON object a line: `line`,
`prompt` and `turns` (the messages of the first turn, and those of each), `category`, and `row` with
the fields of the file. Prints the report, with `prompts`: how many are `repeated` (they are kept),
the most `turns` of a row, the `suites` that fit, and why the others don't (`unfit`). It runs in a
process of its own, as `orpo.validate` does. This entry point alone joins rows and suites.
"""

import sys
from pathlib import Path
from typing import Any

import orjson

from evals.fits import Fits
from orpo.audit.overlaps import MOST_BYTES
from orpo.audit.progress import Progress
from orpo.contract.failures import Code, Failure
from orpo.process.verbs import answer
from orpo.rows.column_names import parse_columns
from orpo.rows.prompts import Asked, category_of, is_text, read_asked
from orpo.rows.report import Report
from orpo.rows.row import Finding
from orpo.rows.rows import container_name

NOT_KEPT = (
    "A field of this row can't be kept: it nests too deeply, its text is not UTF-8, or it is a "
    "number of more than 64 bits. Remove it."
)


class Reader:
    """What is known of the rows so far. Memory grows by about 100 bytes a row."""

    def __init__(self, container: str | None) -> None:
        self.report, self.fits = Report(container=container), Fits()
        self.seen: set[int] = set()
        self.turns = 0

    def accept(self, asked: Asked) -> bytes | None:
        """The normal form of a row; None for one that the report drops."""
        self.report.rows += 1
        finding = asked.finding
        if finding is None:
            try:
                written = _normal(asked)
            except TypeError:  # of orjson's
                finding = Finding(asked.line, None, "not_kept", NOT_KEPT)
            else:
                self._count(asked)
                return written
        self.report.drop(finding)
        return None

    def _count(self, asked: Asked) -> None:
        self.report.accepted += 1
        self.seen.add(hash(orjson.dumps(asked.turns, option=orjson.OPT_SORT_KEYS)))
        self.turns = max(self.turns, len(asked.turns))
        self.fits.add(asked.line, asked.value)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        prompts = {
            "repeated": self.report.accepted - len(self.seen),
            "turns": self.turns,
            "suites": self.fits.suites if self.report.accepted else [],
            "unfit": self.fits.unfit,
        }
        return {**self.report.to_json(), "prompts": prompts}


def _normal(asked: Asked) -> bytes:
    """The normal form of a row that asks something. Raises TypeError for a field of no JSON."""
    row = {
        "line": asked.line,
        "prompt": asked.turns[0],
        "turns": asked.turns,
        "category": category_of(asked.value),
        "row": asked.value if isinstance(asked.value, dict) else {},
    }
    # Cells of Parquet may be dates and the like.
    return orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)


def main(source: Path, name: str, rows: Path, columns: str = "", progress: str = "") -> int:
    """Print the report; `name` is the uploaded file name."""
    size_bytes = source.stat().st_size
    told = Progress(Path(progress) if progress else None, "validate", "bytes")

    def work() -> dict[str, Any]:
        container = "txt" if is_text(name) else container_name(source, name)
        reader, written = Reader(container), 0
        with rows.open("wb") as out:
            for asked in read_asked(source, name, parse_columns(columns)):
                written += out.write(reader.accept(asked) or b"")
                if written > MOST_BYTES:
                    raise Failure(
                        Code.BAD_DATA,
                        f"{name} holds more than {MOST_BYTES >> 30} GB of prompts.",
                        "Split it.",
                        "file",
                    )
                is_known = asked.offset_bytes <= size_bytes
                told.tell(asked.offset_bytes, size_bytes if is_known else None)
        return reader.to_json()

    return answer(work)


if __name__ == "__main__":
    source, name, rows, *rest = sys.argv[1:]
    sys.exit(main(Path(source), name, Path(rows), *rest))

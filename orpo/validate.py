"""`python -m orpo.validate SOURCE NAME ROWS OFFSETS SCORES COLUMNS [PROGRESS]`: judge a file.

COLUMNS is a JSON object of fields and the names of the columns that hold them; it may be empty.
Writes the accepted rows to ROWS in their normal form, where each begins to OFFSETS, and rows whose
own scores contradict the pair to SCORES; while it runs, PROGRESS says how far it is. Prints the
report as JSON. It runs in a process of its own: a file that takes too long or too much memory ends
only that process.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from orpo.audit import found
from orpo.audit.found import Named
from orpo.audit.progress import Progress
from orpo.process.verbs import answer
from orpo.rows import halves
from orpo.rows.column_names import parse_columns
from orpo.rows.halves import Source


def main(
    source: Path,
    name: str,
    rows: Path,
    offsets: Path,
    scores: Path,
    columns: str = "",
    progress: str = "",
) -> int:
    """Print the report; `name` is the uploaded file name, which decides where the content fits two
    containers.
    """

    size_bytes = source.stat().st_size
    told = Progress(Path(progress) if progress else None, "validate", "bytes")

    def tell(_n_rows: int, read_bytes: int) -> None:
        # Of a compressed file, the size of what is in it is not known.
        told.tell(read_bytes, size_bytes if read_bytes <= size_bytes else None)

    def work() -> dict[str, Any]:
        report, index = halves.validate(Source(source, name, parse_columns(columns)), rows, tell)
        index.write_offsets(offsets)
        places = {"score_contradicts": index.contradicting, "score_tie": index.tied}
        found.write(scores, {code: Named(np.asarray(of)) for code, of in places.items()})
        return report.to_json()

    return answer(work)


if __name__ == "__main__":
    source, name, rows, offsets, scores, *columns = sys.argv[1:]
    sys.exit(main(Path(source), name, Path(rows), Path(offsets), Path(scores), *columns))

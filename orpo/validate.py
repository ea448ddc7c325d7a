"""`python -m orpo.validate SOURCE NAME ROWS OFFSETS SCORES COLUMNS`: judge a preference file.

COLUMNS is a JSON object of fields and the names of the columns that hold them; it may be empty.
Writes the accepted rows to ROWS in their normal form, where each begins to OFFSETS, and rows whose
own scores contradict the pair to SCORES. Prints the report as JSON. It runs in a process of its
own: a file that takes too long or too much memory ends only that process.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from orpo.audit import found
from orpo.audit.found import Named
from orpo.process.verbs import answer
from orpo.rows import halves
from orpo.rows.column_names import parse_columns
from orpo.rows.halves import Source


def main(
    source: Path, name: str, rows: Path, offsets: Path, scores: Path, columns: str = ""
) -> int:
    """Print the report; `name` is the uploaded file name, which decides where the content fits two
    containers.
    """

    def work() -> dict[str, Any]:
        report, index = halves.validate(Source(source, name, parse_columns(columns)), rows)
        index.write_offsets(offsets)
        places = {"score_contradicts": index.contradicting, "score_tie": index.tied}
        found.write(scores, {code: Named(np.asarray(of)) for code, of in places.items()})
        return report.to_json()

    return answer(work)


if __name__ == "__main__":
    source, name, rows, offsets, scores, *columns = sys.argv[1:]
    sys.exit(main(Path(source), name, Path(rows), Path(offsets), Path(scores), *columns))

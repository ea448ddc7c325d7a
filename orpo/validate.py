"""`python -m orpo.validate SOURCE NAME ROWS COLUMNS`: judge a preference file, row by row.

COLUMNS is a JSON object of fields and the names of the columns that hold them; it may be empty.
Writes the accepted rows to ROWS in their normal form and prints the report as JSON. It runs in a
process of its own: a file that takes too long or too much memory ends only that process.
"""

import sys
from pathlib import Path

from orpo.process.verbs import answer
from orpo.rows import formats
from orpo.rows.column_names import parse_columns


def main(source: Path, name: str, rows: Path, columns: str = "") -> int:
    """Print the report; `name` is the uploaded file name, which decides where the content fits two
    containers.
    """
    return answer(
        lambda: formats.validate(source, name, rows, columns=parse_columns(columns)).to_json()
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))

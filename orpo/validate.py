"""`python -m orpo.validate SOURCE NAME ROWS`: judge a preference file, row by row.

Writes the accepted rows to ROWS in their normal form and prints the report as JSON. It runs in a
process of its own: a file that takes too long or too much memory ends only that process.
"""

import sys
from pathlib import Path

from orpo.process.verbs import answer
from orpo.rows import formats


def main(source: Path, name: str, rows: Path) -> int:
    """Print the report; `name` is the uploaded file name, whose suffix decides the container
    format.
    """
    return answer(lambda: formats.validate(source, name, rows).to_json())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))

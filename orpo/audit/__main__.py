"""`python -m orpo.audit ROWS OFFSETS SCORES FOUND N_ROWS [--exact] [--progress FILE]`: audit
the accepted rows of a file.

Prints the report's part `audit` as JSON and writes the rows of each finding to FOUND.
`orpo.validate` wrote the first three; N_ROWS is how many rows the uploaded file has.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from orpo.audit import found
from orpo.audit.audit import LOOK, Accepted, audit
from orpo.audit.blocks import read_offsets
from orpo.audit.progress import Progress
from orpo.process.verbs import answer

OF_SCORES = ("score_contradicts", "score_tie")


def main(arguments: list[str]) -> int:
    """Audit the rows; the exit status is that of a verb."""
    parser = ArgumentParser(prog="orpo.audit")
    for name in ("rows", "offsets", "scores", "found"):
        parser.add_argument(name, type=Path)
    parser.add_argument("n_rows", type=int)
    parser.add_argument("--exact", action="store_true", help="make no estimates")
    parser.add_argument("--progress", type=Path, help="a file that says how far it is")
    given = parser.parse_args(arguments)

    told = Progress(given.progress, LOOK, "rows")

    def tell(stage: str, done: int, total: int) -> None:
        told.stage = stage
        told.tell(done, total)

    def work() -> dict[str, Any]:
        scores = {code: found.read(given.scores, code) for code in OF_SCORES}
        result = audit(
            Accepted(given.rows, read_offsets(given.offsets)),
            given.n_rows,
            scores,
            with_estimates=not given.exact,
            tell=tell,
        )
        found.write(given.found, result.named)
        return result.to_json()

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

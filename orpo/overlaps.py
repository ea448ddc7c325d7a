"""`python -m orpo.overlaps REQUEST FOLDER`: which prompts of a file stand in other files, too.

REQUEST is a JSON file: `rows`, the accepted rows of the file; `against`, the others, each either
`{"rows"}` or, if it has no accepted row, `{"source", "filename", "columns"}`; `unmask` and `exact`.
FOLDER takes temporary files. The work is done by `orpo.audit.overlaps`.
"""

import sys
from pathlib import Path
from typing import Any

import orjson

from orpo.audit import overlaps
from orpo.audit.overlaps import Other, Prompts
from orpo.process.verbs import answer


def main(request: Path, folder: Path) -> int:
    """Print what `overlaps.found` returns."""
    return answer(lambda: _run(orjson.loads(request.read_bytes()), folder))


def _run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    others = [_other(each, folder / str(at)) for at, each in enumerate(request["against"])]
    rows = Path(request["rows"])
    return overlaps.found(rows, others, unmask=request["unmask"], exact=request["exact"])


def _other(given: dict[str, Any], normal: Path) -> Other:
    if "rows" in given:
        return Other(Prompts.read(Path(given["rows"])))
    missing = overlaps.normal(Path(given["source"]), given["filename"], given["columns"], normal)
    return Other(Prompts.read(normal), missing)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""`python -m orpo.make REQUEST [OUT PROGRESS]`: apply a recipe to the accepted rows of files.

REQUEST is a JSON file: `recipe`, `sources` (each with `file_id`, `rows`, `found`, which may be
null, and `audits`, the paths of deep audits by their ids) and `max_bytes`. Writes the version to
OUT, and how far it is to PROGRESS while it runs; without OUT, it prints what the recipe would do.
Changed rows are kept beside OUT, or REQUEST. It runs in a process of its own: a recipe that takes
too long or too much memory ends only that.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from orpo.audit import recipe
from orpo.audit.make import make
from orpo.audit.preview import preview
from orpo.audit.sources import Source
from orpo.process.verbs import answer


def main(request: Path, out: Path | None = None, progress: Path | None = None) -> int:
    """Print what was made, or the preview."""
    return answer(lambda: _run(request, out, progress))


def _run(path: Path, out: Path | None, progress: Path | None) -> dict[str, Any]:
    request = orjson.loads(path.read_bytes())
    steps = recipe.parse(request["recipe"])
    sources = [_source(each) for each in request["sources"]]
    if out is not None:
        return make(sources, steps, out, request["max_bytes"], progress)
    with TemporaryDirectory(prefix="steps.", dir=path.parent) as scratch:
        return preview(sources, steps, Path(scratch))


def _source(known: dict[str, Any]) -> Source:
    found = Path(known["found"]) if known["found"] else None
    audits = {audit_id: Path(path) for audit_id, path in known.get("audits", {}).items()}
    return Source(known["file_id"], Path(known["rows"]), found, audits)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))

"""`python -m orpo.make REQUEST [OUT]`: apply a recipe to the accepted rows of files.

REQUEST is a JSON file: `recipe`, `sources` (each with `file_id`, `rows`, `found`, which may be
null, and `audits`, the paths of deep audits by their ids) and `max_bytes`. Writes the version to
OUT; without OUT, it prints what the recipe would do. It runs in a process of its own: a recipe that
takes too long or too much memory ends only that.
"""

import sys
from pathlib import Path
from typing import Any

import orjson

from orpo.audit import recipe
from orpo.audit.make import make
from orpo.audit.preview import preview
from orpo.audit.sources import Source
from orpo.process.verbs import answer


def main(request: Path, out: Path | None) -> int:
    """Print what was made, or the preview."""
    return answer(lambda: _run(orjson.loads(request.read_bytes()), out))


def _run(request: dict[str, Any], out: Path | None) -> dict[str, Any]:
    steps = recipe.parse(request["recipe"])
    sources = [_source(each) for each in request["sources"]]
    if out is None:
        return preview(sources, steps)
    return make(sources, steps, out, request["max_bytes"])


def _source(known: dict[str, Any]) -> Source:
    found = Path(known["found"]) if known["found"] else None
    audits = {audit_id: Path(path) for audit_id, path in known.get("audits", {}).items()}
    return Source(known["file_id"], Path(known["rows"]), found, audits)


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(arguments[0], arguments[1] if len(arguments) > 1 else None))

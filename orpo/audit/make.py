"""Applies a recipe to accepted rows and writes another version of a file.

Rows are read one by one, a few times in all. Knows no database and no storage.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpo.audit import edits, steps
from orpo.audit.recipe import Step
from orpo.audit.selection import Selection
from orpo.audit.sources import Source
from orpo.contract.failures import Code, Failure
from orpo.rows.limits import CHUNK_BYTES


def make(
    sources: Sequence[Source], recipe: Sequence[Step], out: Path, max_bytes: int
) -> dict[str, Any]:
    """Write the version to `out`, one row a line, and return `{rows, size_bytes, sha256, steps}`.

    `steps` say how many rows each had and left. The same sources and steps give the same bytes.
    Raises Failure if no row is left, the version has more than `max_bytes`, or a step names a line
    or a finding that does not exist.
    """
    rows = Selection(sources)
    done = []
    for at, step in enumerate(recipe):
        before = rows.n_rows
        steps.apply(rows, at, step)
        after = rows.n_rows
        if not after:
            message = f"Step {at + 1} ({step.step}) leaves no row: it drops all {before}."
            raise Failure(Code.BAD_DATA, message, edits.HINT, f"recipe.{at}")
        done.append({"step": step.step, "rows_before": before, "rows_after": after})
    return {"rows": rows.n_rows, "steps": done, **_write(rows, out, max_bytes)}


def _write(rows: Selection, out: Path, max_bytes: int) -> dict[str, Any]:
    names = [source.file_id.encode() for source in rows.sources]
    counts = rows.counts
    size_bytes, digest = 0, hashlib.sha256()
    with out.open("wb", CHUNK_BYTES) as file:
        for place, number, row in rows.rows():
            written = edits.stored(row, names[number]) * int(counts[place])
            size_bytes += len(written)
            if size_bytes > max_bytes:
                message = f"The version would have more than the {max_bytes} bytes of a file."
                hint = "Take fewer rows, or raise ODDSMITH_MAX_UPLOAD_BYTES."
                raise Failure(Code.BAD_DATA, message, hint, "recipe")
            digest.update(written)
            file.write(written)
    return {"size_bytes": size_bytes, "sha256": digest.hexdigest()}

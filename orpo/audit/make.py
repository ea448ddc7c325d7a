"""Applies a recipe to accepted rows and writes another version of a file.

Rows are read one by one, a few times in all. Knows no database and no storage.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orpo.audit import edits, steps
from orpo.audit.progress import Progress
from orpo.audit.recipe import Step, in_words
from orpo.audit.refusals import CORRECT
from orpo.audit.selection import Selection
from orpo.audit.sources import Source
from orpo.contract.failures import Code, Failure
from orpo.rows.limits import CHUNK_BYTES

WRITE = "write"


def make(
    sources: Sequence[Source],
    recipe: Sequence[Step],
    out: Path,
    max_bytes: int,
    progress: Path | None = None,
) -> dict[str, Any]:
    """Write the version to `out`, one row a line, and return `{rows, size_bytes, sha256, steps}`.

    `steps` say how many rows each had, left and changed. The same sources and steps give the same
    bytes. `progress` is a file that says how far it is, step by step. Raises Failure if no row is
    left, the version has more than `max_bytes`, or a step names a line or a finding that does not
    exist.
    """
    told = Progress(progress, "make", "rows")
    with TemporaryDirectory(prefix="steps.", dir=out.parent) as scratch:
        rows = Selection(sources, Path(scratch), tell=told.tell)
        done = []
        for at, step in enumerate(recipe):
            told.about = _about(at, recipe, step.step)
            done.append(_applied(rows, at, step))
        told.about = _about(len(recipe), recipe, WRITE)
        return {"rows": rows.n_rows, "steps": done, **_write(rows, out, max_bytes)}


def _about(at: int, recipe: Sequence[Step], name: str) -> dict[str, Any]:
    """What progress says of a step; writing the version is the last one."""
    return {"step": at + 1, "steps": len(recipe) + 1, "name": name}


def _applied(rows: Selection, at: int, step: Step) -> dict[str, Any]:
    before = rows.n_rows
    n_changed = steps.apply(rows, at, step)
    rows.tidy()
    if not rows.n_rows:
        message = f"{in_words(at, step)} leaves no row: it drops all {before}."
        raise Failure(Code.BAD_DATA, message, CORRECT, f"recipe.{at}")
    counted = {"rows_before": before, "rows_after": rows.n_rows, "rows_changed": n_changed}
    return {"step": step.step, **counted}


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

"""Reads uploaded files of prompts, in the `files` queue, where files of pairs are validated."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models import File
from orpo.rows.prompts import NO_PROMPT
from services.evaluations.suites import SUITES
from services.files import column_names
from services.processes.reach import Reach
from services.processes.verbs import run_verb

# How long it may take: this long, and more for a large file on a slow disk.
READ_S = 120
SLOWEST_BYTES_A_S = 1e6


def validated(
    record: File, source: Path, accepted: Path, follow: Callable[[Path], None]
) -> dict[str, Any]:
    """Write the rows that ask something to `accepted`, and return the report of `orpo.prompts`.

    Its part `prompts` also says of which suite the file is the official one (`official`). `follow`
    is called with the file that says how far the verb is. Raises OSError and VerbError.
    """
    # A file that can't be read fails here, where the error is an OSError.
    with source.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
    # A folder of its own beside the others' files, so that the verb sees none of them.
    with TemporaryDirectory(prefix=f"{accepted.name}.", dir=accepted.parent) as folder:
        rows, progress = Path(folder, "rows"), Path(folder, "progress")
        report = run_verb(
            "prompts",
            str(source),
            record.filename,
            str(rows),
            column_names.as_argument(record.columns),
            str(progress),
            timeout_s=READ_S + size_bytes / SLOWEST_BYTES_A_S,
            meanwhile=partial(follow, progress),
            reach=Reach(reads=(source,), writes=(Path(folder),)),
        )
        rows.replace(accepted)
    named = [name for name, suite in SUITES.items() if suite.official_sha256 == record.sha256]
    report["prompts"]["official"] = named[0] if named else None
    return report


def nothing_left(report: dict[str, Any], file_id: str) -> str:
    """Say why a file has no prompt, and what to do."""
    if not report["findings"]:
        return "It holds no row. Upload a file with at least one prompt."
    first = report["findings"][0]
    # In a Parquet file a finding names its row itself.
    place = "" if report["container"] == "parquet" else f"Line {first['line']}: "
    why = f"None of its {report['rows']} rows can be asked. {place}{first['message']}"
    if first["code"] != NO_PROMPT:
        return f"{why} See the report for the others."
    return (
        f"{why} If another key holds the prompt, read it again with: oddsmith files reread "
        f"{file_id} --columns prompt=KEY"
    )

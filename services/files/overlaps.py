"""Prompts of a file that stand in other files, too; the core compares them in a process of its own.

The other files are preference files, or files of prompts alone, such as a benchmark's: no row of
those is accepted, so their prompts are read from the uploaded bytes.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.orm import Session

from models import File
from orpo.contract.failures import Code
from services.access.callers import Caller
from services.files import files
from services.platform import storage
from services.platform.errors import Conflict, Invalid, Unavailable
from services.processes.reach import Reach
from services.processes.verbs import VerbError, run_verb

# 100,000 prompts against 10,000 take 3 s.
COMPARE_S, SLOWEST_BYTES_A_S = 60, 2e6


def find(
    session: Session, caller: Caller, file_id: str, against: Sequence[str]
) -> tuple[File, list[File]]:
    """The file with accepted rows, and the files that it is compared with, each once.

    Raises NotFound or Conflict for a file that can't be read, and Invalid where the file is to be
    compared with itself.
    """
    record = files.validated(files.get(session, caller, file_id))
    files.rows_key_of(record)
    if file_id in against:
        raise Invalid(f"Name other files than `{file_id}` itself.", param="against")
    others = dict.fromkeys(against)
    return record, [files.get_validated(session, caller, each, "against") for each in others]


def compare(record: File, against: Sequence[File], *, unmask: bool) -> dict[str, Any]:
    """Return what `orpo.audit.overlaps.found` returns for the accepted rows of a file.

    Starts a process, which takes seconds: call it outside a transaction. Raises Invalid for a file
    that has no prompt, and Conflict where bytes are gone.
    """
    with ExitStack() as stack, TemporaryDirectory() as folder:
        rows = _copy(stack, record, str(record.rows_key))
        others = [_source(stack, each) for each in against]
        size_bytes = sum(each.size_bytes for each in (record, *against))
        try:
            return run(
                Path(folder), rows, others, unmask=unmask,
                timeout_s=COMPARE_S + size_bytes / SLOWEST_BYTES_A_S,
            )  # fmt: skip
        except VerbError as failure:
            message = f"The prompts can't be compared: {failure}"
            if failure.is_fleeting:
                raise Unavailable(message) from None
            if failure.error.get("code") == Code.BAD_DATA:
                message = f"{failure} {failure.error.get('hint') or ''}".strip()
            raise Invalid(message, param="against") from None


def _source(stack: ExitStack, record: File) -> dict[str, Any]:
    """How the core is to read the prompts of a file."""
    if record.rows_key is not None:
        return {"rows": str(_copy(stack, record, record.rows_key))}
    source = _copy(stack, record, record.storage_key)
    return {"source": str(source), "filename": record.filename, "columns": record.columns}


def _copy(stack: ExitStack, record: File, key: str) -> Path:
    if storage.size_bytes(key) is None:
        raise Conflict(
            f"The bytes of the file `{record.id}` are no longer in the storage. Upload it again.",
            param="file_id",
        )
    return stack.enter_context(storage.local_copy(key))


def run(
    folder: Path,
    rows: Path,
    against: Sequence[dict[str, Any]],
    *,
    unmask: bool = False,
    timeout_s: float,
    meanwhile: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Run the verb on files of this machine; `folder` is empty and takes what it needs.

    `against` holds `{"rows"}`, or `{"source", "filename", "columns"}`. Raises VerbError.
    """
    request, inside = folder / "request.json", folder / "prompts"
    inside.mkdir()
    body = {"rows": str(rows), "against": against, "unmask": unmask, "exact": False}
    request.write_text(json.dumps(body))
    others = (Path(each.get("rows") or each["source"]) for each in against)
    return run_verb(
        "overlaps",
        str(request),
        str(inside),
        timeout_s=timeout_s,
        meanwhile=meanwhile,
        reach=Reach(reads=(request, rows, *others), writes=(inside,)),
    )

"""The dropped rows of a file with their original text, which the core reads in a process of its
own.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models import File
from services.platform import storage
from services.platform.errors import Conflict
from services.processes.reach import Reach
from services.processes.verbs import refused, run_verb

# The lines of a large file are counted up to the last one that is shown.
READ_S, SLOWEST_BYTES_A_S = 30, 20e6


def total(record: File) -> int:
    """How many rows of a validated file were dropped."""
    return sum((record.report or {}).get("dropped", {}).values())


def kept(record: File) -> int:
    """How many of them the report lists: the first hundred at most."""
    return len((record.report or {}).get("findings", []))


def originals(record: File, offset: int, limit: int) -> list[dict[str, Any]]:
    """A page of the report's findings, each with `text` and `first_character`: its row as it stands
    in the uploaded file, or None.

    Starts a process: call it outside a transaction.
    """
    findings = (record.report or {}).get("findings", [])[offset : offset + limit]
    if not findings:
        return []
    timeout_s = READ_S + record.size_bytes / SLOWEST_BYTES_A_S
    try:
        with storage.local_copy(record.storage_key) as source, TemporaryDirectory() as folder:
            request = Path(folder, "request.json")
            request.write_text(json.dumps({"findings": findings, "columns": record.columns}))
            reach = Reach(reads=(source, request))
            arguments = (str(source), record.filename, str(request))
            with refused("The dropped rows can't be read", param="file_id"):
                found = run_verb("dropped", *arguments, timeout_s=timeout_s, reach=reach)
    except FileNotFoundError:
        raise Conflict(
            f"The bytes of the file `{record.id}` are no longer in the storage. Upload it again.",
            param="file_id",
        ) from None
    texts = zip(findings, found["texts"], strict=True)
    return [{**finding, **text} for finding, text in texts]

"""The exact tokens of a row for a base model, which the core makes in a process of its own."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from sqlalchemy.orm import Session

from services.access.callers import Caller
from services.files import base_models, files
from services.platform.errors import NotFound
from services.processes.reach import Reach, model
from services.processes.verbs import refused, run_verb

SHOW_S = 60


def find(
    session: Session, caller: Caller, file_id: str, line: int, base_model: str
) -> tuple[dict[str, Any], Path]:
    """Return the accepted row of a line in its normal form, and the folder of the base model.

    Raises NotFound if the line was dropped or does not exist. Reads the file up to that line: use
    it in a thread.
    """
    base = base_models.folder_of(session, caller, base_model)
    start = b'{"line":%d,' % line  # the normal form begins with the line
    with files.open_rows(files.validated(files.get(session, caller, file_id))) as rows:
        found = next((row for row in rows if row.startswith(start)), None)
    if found is None:
        raise NotFound(
            f"Line {line} of the file `{file_id}` holds no accepted row. Its report says why.",
            param="line",
        )
    return orjson.loads(found), base


def show(row: dict[str, Any], base: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what `orpo.tokens.show.shown` returns for a row in its normal form.

    `settings` are hyperparameters. Starts a process, which takes seconds: call it outside a
    transaction. Raises Invalid if the base model's tokenizer can't be used.
    """
    with TemporaryDirectory() as folder:
        request = Path(folder, "request.json")
        request.write_text(json.dumps({"pair": row, "method": settings}))
        reach = Reach(reads=(*model(base), request))
        with refused("The row can't be shown", param="model"):
            return run_verb("show", str(base), str(request), timeout_s=SHOW_S, reach=reach)

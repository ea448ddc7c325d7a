"""The accepted rows of a file, written in another shape and container, as a stream of bytes.

Reading an export gives the same pairs. Knows records and storage; `orpo.rows` knows the shapes.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

import orjson
from sqlalchemy.orm import Session

from models import File
from orpo.rows import written
from orpo.rows.messages import Pair, Reject
from orpo.rows.packed import Container, pack
from orpo.rows.row_shapes import Shape
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.files import files
from services.platform.errors import Invalid

# Shapes that hold each pair of texts; of the others, each row is tried.
HOLD_ALL = (Shape.EXPLICIT, Shape.OPENAI, Shape.RANKED)
PLAIN_KEYS = {"line", "from", "prompt", "chosen", "rejected"}
# Their rows have values within values, which the cells of a CSV can't hold.
NESTED = (Shape.OPENAI, Shape.RANKED)


def find(
    session: Session, caller: Caller, file_id: str, shape: Shape, container: Container
) -> File:
    """The file whose rows are to be exported. Raises Invalid for a container that can't hold the
    shape, NotFound, and Conflict for a file that is not validated or has no accepted row.
    """
    if container is Container.CSV and shape in NESTED:
        raise Invalid(
            f"A CSV can't hold rows of the shape {shape}; choose another shape or container.",
            param="container",
        )
    if container is Container.PARQUET and find_spec("pyarrow") is None:
        raise Invalid(
            "Parquet can't be written here: pyarrow is not installed. Choose another container.",
            param="container",
        )
    record = files.validated(files.get(session, caller, file_id))
    files.rows_key_of(record)
    audit_log.record(session, caller, Action.EXPORTED, Object.FILE, file_id, shape=shape)
    return record


def check(record: File, shape: Shape, container: Container) -> None:
    """Raise Invalid, with the first line at fault, unless each row can be written in this shape.

    Reads the whole file: use it in a thread.
    """
    with files.open_rows(record) as rows:
        for row in rows:
            value = orjson.loads(row)
            try:
                _check(value, shape)
            except Reject as reject:
                raise Invalid(reject.message, param="shape") from None
            if container is Container.PARQUET and not _is_plain(value):
                raise Invalid(
                    f"Line {value['line']} holds more than text, which a column can't hold. "
                    "Choose the container jsonl.",
                    param="container",
                )


def _check(value: dict[str, Any], shape: Shape) -> None:
    pair = Pair.from_json(value)
    if shape in HOLD_ALL and pair.rejected is not None and value.keys() <= PLAIN_KEYS:
        return
    written.check(pair, shape)


def _is_plain(value: dict[str, Any]) -> bool:
    """Whether a row holds text alone, so that all rows have the same keys."""
    if not value.keys() <= PLAIN_KEYS:
        return False
    turns = [*value["prompt"], *value["chosen"], *(value["rejected"] or ())]
    return all(turn.keys() == {"role", "content"} for turn in turns)


def stream(record: File, shape: Shape, container: Container) -> Iterator[bytes]:
    """Yield the bytes of the export, some at a time. `check` the file before."""
    with files.open_rows(record) as rows:
        pairs = (Pair.from_json(orjson.loads(row)) for row in rows)
        yield from pack((written.write(pair, shape) for pair in pairs), container)


def name_of(record: File, shape: Shape, container: Container) -> str:
    """The file name of an export."""
    return f"{PurePath(record.filename).name.partition('.')[0]}-{shape}.{container}"

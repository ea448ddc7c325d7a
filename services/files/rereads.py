"""Files that are read again under other column names: another file of the same bytes.

Knows records; the bytes stay where they are (`services/files/contents.py`).
"""

from sqlalchemy.orm import Session

from models import File
from models.files import UPLOADED
from orpo.rows.column_names import Columns
from services.access.callers import Caller
from services.files import contents, files
from services.files.files import Received
from services.platform.errors import Conflict, Invalid


def create(session: Session, caller: Caller, file_id: str, columns: Columns) -> File:
    """Register another file of a file's bytes, whose rows are read under other column names, and
    wake its validation. It expires when the first one does.

    Raises Invalid for columns that can't be used or the result of a job, and Conflict for a file
    whose bytes are missing.
    """
    # A deletion waits for this, or the other way round.
    session.get(File, file_id, with_for_update=True)
    record = files.get(session, caller, file_id)
    if record.purpose not in UPLOADED:
        raise Invalid(f"`{file_id}` is the result of a job: it has no rows.", param="file_id")
    received = Received(
        key=record.storage_key,
        filename=record.filename,
        purpose=record.purpose,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        columns=columns,
    )
    place = contents.place_of(session, caller.org_id, record.sha256, record.size_bytes)
    if not record.sha256 or place is None:  # a version that is not made has no sha256
        raise Conflict(
            f"The bytes of the file `{file_id}` are not in the storage. Upload it again.",
            param="file_id",
            code="file_not_ready",
        )
    made = files.create(session, caller, received)
    made.expires_at = record.expires_at
    session.flush()
    return made

"""Tasks of the `files` queue: validate an upload, fetch a base model. Both may run twice.

Each reads its row first: a message says only that there may be something to do.
"""

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from models import BaseModelRecord, File
from models.base_models import BaseModelStatus
from models.files import FileStatus
from orpo import formats
from services import base_models, files, hub, storage
from services.database import alone, transaction
from services.errors import Conflict, OddsmithError, is_disk_full
from services.logs import bound
from services.queue import Task
from workers.app import app

logger = logging.getLogger("oddsmith.workers")


@app.task(name=Task.VALIDATE_FILE)
def validate(file_id: str) -> None:
    """Bring an uploaded file to `processed` or `error`.

    Who removes the bytes of a file that was deleted meanwhile waits for this to end.
    """
    with transaction() as session:
        record = session.get(File, file_id)
    if record is None or record.deleted_at or record.status != FileStatus.UPLOADED:
        return
    with bound(file=file_id), alone(file_id) as mine:
        if mine:
            judge(record)


def judge(record: File) -> None:
    """Judge the file and write what was found, unless that is no longer asked for."""
    with transaction() as session:
        if not files.begin_validation(session, record.id):
            return
    rows_key = f"{record.storage_key}.rows"
    report, failure = read(record, rows_key)
    usable = failure is None
    with transaction() as session:
        written = files.finish_validation(
            session,
            record.id,
            report=report,
            rows_key=rows_key if usable else None,
            failure=failure,
        )
    logger.info("validated", extra={"failure": failure, "written": written})


def read(record: File, rows_key: str) -> tuple[dict[str, Any] | None, str | None]:
    """Judge every row and store the accepted ones; return (report, why the file is unusable)."""
    try:
        with (
            storage.local_copy(record.storage_key) as source,
            storage.writing_path(rows_key) as accepted,
        ):
            report = formats.validate(Path(source), record.filename, accepted).to_json()
    except FileNotFoundError:
        return None, "Its bytes are no longer in the storage. Upload it again."
    except OSError as error:
        if is_disk_full(error):
            return None, "The disk of the storage is full: free some space and upload it again."
        return None, f"It could not be read: {error.strerror}. Upload it again."
    except Exception:
        # A file that breaks the reader would break it again at each of the keeper's wake-ups.
        logger.exception("a file could not be judged")
        return (
            None,
            "Its content broke the check on our side; the log of the files worker says how.",
        )
    if report["accepted"]:
        return report, None
    storage.delete(rows_key)
    return report, nothing_left(report)


def nothing_left(report: dict[str, Any]) -> str:
    if not report["findings"]:
        return "It holds no row. Upload a file with at least one preference pair."
    first = report["findings"][0]
    return (
        f"None of its {report['rows']} rows can be used. "
        f"Line {first['line']}: {first['message']} See the report for the others."
    )


@app.task(name=Task.DOWNLOAD_BASE)
def download_base(base_model: str) -> None:
    """Fetch a base that is `downloading` from its hub, check it, and mark it ready or in error."""
    with transaction() as session:
        record = session.get(BaseModelRecord, base_model)
    if record is None or record.deleted_at or record.status != BaseModelStatus.DOWNLOADING:
        return
    with alone(base_model) as mine:
        if mine:
            fetch(record)


def _see_that_it_is_wanted(record: BaseModelRecord) -> None:
    """Raise Conflict once the model is deleted, or registered otherwise: its download ends then."""
    with suppress(OperationalError), transaction() as session:
        now = session.get_one(BaseModelRecord, record.id)
        wanted = now.deleted_at is None and (now.path, now.status) == (record.path, record.status)
        if not wanted:
            raise Conflict(f"`{record.id}` was deleted.", param="id")


def fetch(record: BaseModelRecord) -> None:
    info, failure = record.info, None
    try:
        wanted = partial(_see_that_it_is_wanted, record)
        hub.download(info["hub_id"], record.revision, Path(record.path), wanted)
        info = info | base_models.check_folder(record.path)
    except OddsmithError as error:
        failure = error.message
    except Exception as error:
        # The keeper would send it again and again; a person may, once the cause is gone.
        logger.exception("a base model could not be downloaded")
        failure = f"The download broke off ({type(error).__name__}: {error}). Register it again."
    with transaction() as session:
        base_models.finish_download(session, record.id, record.path, info=info, failure=failure)
    logger.info("downloaded", extra={"base_model": record.id, "failure": failure})

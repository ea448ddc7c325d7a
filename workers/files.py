"""The task that checks uploads, in the `files` queue, whose work takes seconds.

A message is a wake-up for one file. This module decides which file is next, so that keys take
turns. It also fetches base models, for the queue `prepare`.
"""

import logging
import os
import shlex
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy.exc import OperationalError

from models import File
from models.files import FilePurpose, FileStatus
from orpo.contract.failures import Code
from orpo.rows.suggested import as_option
from services.files import column_names, files, progress
from services.files.keys import keys_of
from services.platform import storage
from services.platform.database import transaction
from services.platform.errors import is_disk_full
from services.platform.logs import bound
from services.platform.queue import Task
from services.platform.turns import Turns, oldest
from services.processes.reach import Reach
from services.processes.verbs import VerbError, run_verb
from workers import prompts, versions
from workers.app import app
from workers.turns import take

logger = logging.getLogger("oddsmith.workers")


# How long a check may take: this long, and more for a large file on a slow disk.
CHECK_S = 120
SLOWEST_BYTES_A_S = 2e6
# The same of an audit: a small file takes three seconds, a million pairs two minutes.
AUDIT_S = 120
SLOWEST_AUDIT_BYTES_A_S = 1e6
DISK_FULL = "The disk of the storage is full: free some space and upload it again."

turns = Turns()


@app.task(name=Task.VALIDATE_FILE)
def validate(file_id: str | None = None) -> None:  # noqa: ARG001 - kept for messages that an older release has sent
    """Judge the file whose turn it is."""
    with transaction() as session:
        waiting = oldest(
            session,
            File,
            judge,
            File.status == FileStatus.UPLOADED,
            File.deleted_at.is_(None),
        )
    with take(turns, waiting) as item:
        if item is not None:
            item.work(item.id)


def judge(file_id: str) -> None:
    """Bring an uploaded file to `processed` or `error`.

    The task that removes the bytes of a file that was deleted meanwhile waits for this to end.
    """
    with bound(file=file_id):
        with transaction() as session:
            if not files.begin_validation(session, file_id):
                return
            record = session.get_one(File, file_id)
        rows_key = keys_of(file_id).rows
        with suppress(NoLongerWantedError):
            report, failure = None, versions.make(record, partial(follow, file_id))
            if failure is None:
                report, failure = read(record, rows_key)
            finish(record, rows_key, report, failure)


def finish(record: File, rows_key: str, report: dict[str, Any] | None, failure: str | None) -> None:
    """Write what was found, unless the file is no longer to be validated."""
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


class NoLongerWantedError(Exception):
    """The file was deleted, or another worker has judged it."""


def follow(file_id: str, path: Path) -> None:
    """Keep how far a verb is, which it writes to `path`. Raise NoLongerWantedError unless the file
    still awaits its validation.
    """
    with suppress(OperationalError), transaction() as session:
        record = session.get(File, file_id)
        if record is None or record.deleted_at or record.status != FileStatus.UPLOADED:
            raise NoLongerWantedError
        progress.note(record, progress.read(path))


def read(record: File, rows_key: str) -> tuple[dict[str, Any] | None, str | None]:
    """Judge every row and store the accepted ones; return (report, why the file is unusable)."""
    try:
        with (
            storage.local_copy(record.storage_key) as source,
            storage.writing_path(rows_key) as accepted,
        ):
            is_prompts = record.purpose == FilePurpose.PROMPTS
            made = _prompts if is_prompts else _validated
            report = made(record, source, accepted)
    except FileNotFoundError:
        return None, "Its bytes are no longer in the storage. Upload it again."
    except OSError as error:
        if is_disk_full(error):
            return None, DISK_FULL
        return None, f"It could not be read: {error.strerror}. Upload it again."
    except VerbError as failure:
        logger.warning("a file could not be judged: %s", failure)
        return None, _why(failure)
    if report["accepted"]:
        return report, None
    for key in keys_of(record.id):
        storage.delete(key)
    why = prompts.nothing_left if is_prompts else nothing_left
    return report, why(report, record.id)


def _prompts(record: File, source: Path, accepted: Path) -> dict[str, Any]:
    return prompts.validated(record, source, accepted, partial(follow, record.id))


def _validated(record: File, source: Path, accepted: Path) -> dict[str, Any]:
    """The report of a file with its audit; writes the accepted rows and what is known of them."""
    # A file that can't be read fails here, where the error is an OSError.
    with source.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
    # A folder of its own beside the others' files, so that the check sees none of them.
    with TemporaryDirectory(prefix=f"{accepted.name}.", dir=accepted.parent) as folder:
        made = Made.within(Path(folder))
        report = run_verb(
            "validate",
            str(source),
            record.filename,
            *map(str, made.of_validation),
            column_names.as_argument(record.columns),
            str(made.progress),
            timeout_s=CHECK_S + size_bytes / SLOWEST_BYTES_A_S,
            meanwhile=partial(follow, record.id, made.progress),
            reach=Reach(reads=(source,), writes=(Path(folder),)),
        )
        if report["accepted"]:
            report |= _audited(record, made, report["rows"])
            keys = keys_of(record.id)
            _store(made.offsets, keys.offsets)
            _store(made.audit, keys.audit)
        made.rows.replace(accepted)
    return report


class Made(NamedTuple):
    """What the two verbs write of a file, and how far they are."""

    rows: Path
    offsets: Path
    scores: Path
    audit: Path
    progress: Path

    @classmethod
    def within(cls, folder: Path) -> "Made":
        return cls(*(folder / name for name in cls._fields))

    @property
    def of_validation(self) -> tuple[Path, ...]:
        return self[:3]

    @property
    def of_audit(self) -> tuple[Path, ...]:
        return self[:4]


def _audited(record: File, made: Made, n_rows: int) -> dict[str, Any]:
    """The report's parts `audit` and `audit_failure`: a file can be used without its audit."""
    size_bytes = made.rows.stat().st_size
    try:
        audit = run_verb(
            "audit",
            *map(str, made.of_audit),
            str(n_rows),
            f"--progress={made.progress}",
            timeout_s=AUDIT_S + size_bytes / SLOWEST_AUDIT_BYTES_A_S,
            meanwhile=partial(follow, record.id, made.progress),
            reach=Reach(writes=(made.rows.parent,)),
        )
    except VerbError as failure:
        logger.warning("a file could not be audited: %s", failure)
        made.audit.unlink(missing_ok=True)
        return {"audit": None, "audit_failure": _why_no_audit(failure)}
    return {"audit": audit, "audit_failure": None}


def _why_no_audit(failure: VerbError) -> str:
    """The reason that a user reads for a file that was not audited."""
    match failure.error.get("code"):
        case Code.TIMEOUT:
            return "The audit took too long. The file can be used without it."
        case Code.KILLED | Code.LIMIT:
            return "The audit needs more memory than it may take. The file can be used without it."
    return (
        "The audit failed because of a server error. The file can be used without it. The log of "
        "the files worker has the details."
    )


def _store(path: Path, key: str) -> None:
    """Store what a verb has written; nothing is stored under `key` if it wrote nothing."""
    if not path.exists():
        storage.delete(key)
        return
    with storage.writing(key) as sink, path.open("rb") as file:
        shutil.copyfileobj(file, sink, storage.CHUNK_BYTES)


def _why(failure: VerbError) -> str:
    """The reason that a user reads for a file whose check did not finish."""
    match failure.error.get("code"):
        case Code.DISK_FULL:
            return DISK_FULL
        case Code.BAD_DATA:
            return f"{failure} {failure.error.get('hint') or ''}".strip()
        case Code.TIMEOUT:
            return f"Its check was ended: {failure} Split the file, and upload it again."
        case Code.KILLED | Code.LIMIT:
            return (
                "A row of it needs more memory than its check may take. Split the file, and "
                "upload it again."
            )
    return (
        "The check failed because of a server error. The log of the files worker has the details."
    )


def nothing_left(report: dict[str, Any], file_id: str) -> str:
    """Say why none of a file's rows is accepted, and what to do."""
    if not report["findings"]:
        return "It holds no row. Upload a file with at least one preference pair."
    first = report["findings"][0]
    # In a Parquet file a finding names its row itself.
    place = "" if report["container"] == "parquet" else f"Line {first['line']}: "
    why = f"None of its {report['rows']} rows can be used. {place}{first['message']}"
    columns = report["suggested_columns"]
    if not columns:
        return f"{why} See the report for the others."
    return (
        f"{why} They are pairs if its columns are read so: {as_option(columns)}. Read it again "
        f"with: oddsmith files reread {file_id} --columns {shlex.quote(as_option(columns))}"
    )

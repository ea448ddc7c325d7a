"""The run folder and the database belong to each other.

`python -m services.platform.run_folder` joins the two.

A job's row does not say where its files are: they are below the run folder. A worker with another
folder (a second stack's, or one where nothing is mounted) would not find the files of the jobs that
it claims and would fail these jobs, so it must not start.
"""

import logging
import sys
import time
import uuid
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import RunFolder
from services.platform import logs
from services.platform.database import transaction
from services.platform.errors import Conflict, OddsmithError, Unavailable
from services.platform.settings import get_settings

logger = logging.getLogger("oddsmith.run_folder")

MARK = ".mark"


def join(session: Session) -> None:
    """Join the database with the run folder if it has none; else check that they belong together.

    Raises Conflict, with what to do, if they don't belong together, and Unavailable if they are to
    be joined and the folder can't be written. A folder that belonged to a database that is gone can
    be joined to a new database.
    """
    path = _path()
    mark = _mark() or uuid.uuid4().hex
    # A process that joins at the same moment waits here, until the mark lies in the folder.
    joining = insert(RunFolder).values(id=1, mark=mark).on_conflict_do_nothing()
    if session.execute(joining.returning(RunFolder.mark)).scalar() is not None:
        _write(path, mark)
    elif (sentence := stranger(session)) is not None:
        raise Conflict(sentence)


def stranger(session: Session) -> str | None:
    """Return why this process's run folder is not the database's; None if it is or may be."""
    known = session.scalar(select(RunFolder.mark))
    try:
        here = _mark()
    except Unavailable as unreadable:
        return unreadable.message
    if known is None or here == known:
        return None
    holds = f"bears the mark {here}" if here else "bears no mark"
    return (
        f"The run folder {_path().parent} {holds}, and this database's bears {known}: the jobs of "
        "this database have their files elsewhere. Set ODDSMITH_RUNS (or ODDSMITH_VAR) to that "
        "folder, or mount it, or give this stack a database of its own. If the folder was emptied "
        f"on purpose, write {known} into {_path()}."
    )


def _write(path: Path, mark: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{mark}\n")
    except OSError as error:
        raise Unavailable(
            f"The run folder {path.parent} was used by no worker yet, and can't be written from "
            f"here: {error.strerror}."
        ) from error


def _path() -> Path:
    return get_settings().runs_dir / MARK


def _mark() -> str | None:
    path = _path()
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} can't be read: {error.strerror}.") from error


def until_joined() -> None:
    """Join as soon as Postgres answers and the folder can be written. Raises Conflict."""
    while True:
        try:
            with transaction() as session:
                return join(session)
        except (OperationalError, Unavailable) as error:
            reason = error.message if isinstance(error, Unavailable) else "Postgres is away."
            logger.warning("this process can't begin yet: %s", reason)
            time.sleep(2)


def main() -> int:
    logs.configure()
    try:
        with transaction() as session:
            join(session)
    except OddsmithError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - the supervisor shows it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

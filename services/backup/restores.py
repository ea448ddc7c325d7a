"""Restoring a backup into an empty stack. `backups.py` makes and checks backups.

Files come first and rows last, in one transaction: until it commits, the stack is as empty as
before. Jobs that ran when the backup was made are queued again and go on from their last
checkpoints.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy import Table, func, insert, select, text, update
from sqlalchemy.orm import Session

from models import (
    ApiKey,
    Base,
    BaseModelRecord,
    Comparison,
    Deployment,
    File,
    Job,
    Organization,
    RunFolder,
    Upload,
)
from models.jobs import HELD
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.backup import older
from services.backup.backups import (
    CHUNK_BYTES,
    TABLES,
    Contents,
    blocks_of,
    check,
    columns_of,
    damaged,
    sync,
    sync_folders,
    write_file,
)
from services.jobs import claims
from services.platform import storage
from services.platform.database import alone, idle_at_will, transaction
from services.platform.errors import Conflict, Invalid
from services.platform.locks import Lock
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.serving import engines
from services.serving.engines import EngineStatus
from services.upkeep import health

# Run directories are kept in this folder, beside those in use, until all are moved to their places.
STAGED = ".restoring"
OCCUPIED = {
    Job: "jobs",
    File: "files",
    Upload: "uploads",
    Deployment: "deployments",
    Comparison: "comparisons",
}
# Jobs need a lease for the step that releases them.
MOMENT = text("interval '1 hour'")


@dataclass(frozen=True)
class Restored:
    """What was restored, which jobs were running, and which base models' folders are missing."""

    contents: Contents
    resumed: list[str]
    bases_missing: dict[str, str]


def restore(folder: Path) -> Restored:
    """Check the whole backup, then restore it.

    Raises Invalid if the backup is damaged or does not fit, and Conflict if the stack is not empty;
    in both cases before anything was written.
    """
    contents = check(folder)
    with alone(Lock.RESTORE) as mine:
        if not mine:
            raise Conflict("Another restore into this stack is under way: wait until it has ended.")
        return _restore(folder, contents)


def _restore(folder: Path, contents: Contents) -> Restored:
    with transaction() as session:
        _refuse_misfit(session, contents)
        _refuse_occupied(session, contents)
    with _uploads(folder, contents), _staged(folder, contents) as staged, transaction() as session:
        idle_at_will(session)  # between two statements, files are moved
        _lock(session)
        _refuse_occupied(session, contents)
        with audit_log.replaceable(session):
            here = _empty(session)
            _load(session, folder, contents)
        about = (Action.RESTORED, Object.STACK, contents.made_at)
        for org_id in session.scalars(select(Organization.id)):
            audit_log.note(session, org_id, None, *about)
        _keep_keys(session, here.keys)
        bases_missing = _find_bases(session, here.bases)
        resumed = _settle(session, contents)
        session.flush()
        _move_in(staged)
    return Restored(contents, resumed, bases_missing)


def _refuse_misfit(session: Session, contents: Contents) -> None:
    here = session.scalar(text("SELECT version_num FROM alembic_version"))
    if here != health.head():
        raise Invalid(
            f"The database is at migration {here}, not {health.head()}: run `alembic upgrade head` "
            "first."
        )
    if contents.migration not in health.revisions():
        raise Invalid(
            f"The backup was made at migration {contents.migration}, which this release does not "
            "know: upgrade this stack to the release that made it, or a later one."
        )


def _refuse_occupied(session: Session, contents: Contents) -> None:
    """Raise Conflict if the stack holds anything except what each first start makes."""
    found = [
        name for record, name in OCCUPIED.items() if session.scalar(select(record.id).limit(1))
    ]
    # The demo's base is registered without a key; others were added by users.
    added = select(BaseModelRecord.id).where(BaseModelRecord.api_key_id.is_not(None)).limit(1)
    if session.scalar(added):
        found.append("base models")
    runs = get_settings().runs_dir
    jobs = {Path(name).parts[1] for name in contents.files if name.startswith("runs/")}
    if any((runs / job).exists() for job in jobs):
        found.append("run directories of the same jobs")
    if found:
        raise Conflict(
            f"This stack is not empty: it has {', '.join(found)}. Restore into a new one, with a "
            "database and folders of its own. Nothing was written."
        )


@contextmanager
def _uploads(folder: Path, contents: Contents) -> Iterator[None]:
    """Copy uploads into the storage; if the block fails, delete those that were not there."""
    keys = [n.removeprefix("storage/") for n in contents.files if n.startswith("storage/")]
    # An object store may have outlived its database.
    ours = [key for key in keys if not _is_stored(key)]
    try:
        for key in keys:
            with storage.writing(key) as sink:
                for block in blocks_of(folder / "storage" / key):
                    sink.write(block)
        yield
    except BaseException:
        for key in ours:
            storage.delete(key)
        raise


def _is_stored(key: str) -> bool:
    try:
        storage.reading(key).close()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _staged(folder: Path, contents: Contents) -> Iterator[Path]:
    """Copy the run directories to STAGED; if the block fails, remove them again."""
    runs = get_settings().runs_dir
    staged = runs / STAGED
    shutil.rmtree(staged, ignore_errors=True)  # of a restore that was killed
    try:
        for name, facts in contents.files.items():
            if name.startswith("runs/"):
                _stage(folder / name, staged / name.removeprefix("runs/"), facts)
        yield staged
    except BaseException:
        for name in contents.files:
            # What is no longer in STAGED was moved to its place.
            job = name.split("/")[1]
            if name.startswith("runs/") and not (staged / job).exists():
                shutil.rmtree(runs / job, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _stage(source: Path, path: Path, facts: dict[str, Any]) -> None:
    if write_file(path, blocks_of(source)) != facts:
        raise Invalid(f"{source} changed while it was restored. Nothing was written.")


def _move_in(staged: Path) -> None:
    sync_folders(staged)
    for folder in staged.glob("*"):
        folder.rename(staged.parent / folder.name)
    sync(staged.parent)


@dataclass(frozen=True)
class Here:
    """What the first start made, and is kept: its keys, and where its base models lie."""

    keys: list[dict[str, Any]]
    bases: dict[str, str]


def _lock(session: Session) -> None:
    """Block writes until the transaction ends; readers see the empty stack until then."""
    names = ", ".join(record.__tablename__ for record in OCCUPIED)
    session.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


def _empty(session: Session) -> Here:
    keys = select(ApiKey.__table__).where(ApiKey.revoked_at.is_(None))
    bases = select(BaseModelRecord.id, BaseModelRecord.path)
    here = Here(
        keys=[dict(row) for row in session.execute(keys).mappings()],
        bases={row.id: row.path for row in session.execute(bases)},
    )
    for table in reversed(Base.metadata.sorted_tables):
        if table.name != RunFolder.__tablename__:  # the folder stays this database's
            session.execute(table.delete())
    return here


def _load(session: Session, folder: Path, contents: Contents) -> None:
    """Load the rows of all tables, which are empty."""

    def copy_in(table: Table, columns: set[str] | None = None) -> None:
        if table.name not in contents.tables:
            raise damaged(folder, f"the rows of {table.name} are missing")
        path = folder / "tables" / f"{table.name}.copy"
        is_jobs = table.name == Job.__tablename__
        with _without_events(session) if is_jobs else nullcontext():
            _copy_in(session, table, path, contents, columns)

    if contents.migration == health.head():
        for table in TABLES:
            copy_in(table)
    else:
        with _without_events(session):
            older.load(session, TABLES, contents.migration, copy_in)
    _count_on(session)


@contextmanager
def _without_events(session: Session) -> Iterator[None]:
    """Keep jobs of the current schema from writing state events: their events are loaded, too."""
    session.execute(text("ALTER TABLE jobs DISABLE TRIGGER record_job_state"))
    yield
    session.execute(text("ALTER TABLE jobs ENABLE TRIGGER record_job_state"))


def _copy_in(
    session: Session, table: Table, path: Path, contents: Contents, columns: set[str] | None
) -> None:
    """Load a table's rows; `columns` are the table's columns in an older release."""
    connection: Any = session.connection().connection.driver_connection
    with connection.cursor() as cursor:
        statement = sql.SQL("COPY {} FROM STDIN").format(columns_of(table, columns))
        with cursor.copy(statement) as sink, path.open("rb") as source:
            while block := source.read(CHUNK_BYTES):
                sink.write(block)
        if cursor.rowcount != contents.tables[table.name]:
            raise Invalid(f"The backup's rows of {table.name} are not all there.")


def _count_on(session: Session) -> None:
    """Let identity columns go on after the highest number that was loaded."""
    for table in TABLES:
        for column in filter(lambda column: column.identity, table.columns):
            following = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            session.execute(select(func.setval(sequence, following, False)))


def _keep_keys(session: Session, keys: list[dict[str, Any]]) -> None:
    """Keep the keys of this stack valid, beside the backup's keys."""
    known = set(session.scalars(select(ApiKey.sha256)))
    organizations = set(session.scalars(select(Organization.id)))
    for key in keys:
        if key["sha256"] not in known and key["org_id"] in organizations:
            session.execute(insert(ApiKey).values(**key))


def _find_bases(session: Session, here: dict[str, str]) -> dict[str, str]:
    """Point base models to where they lie on this machine, and return those that are missing."""
    missing = {}
    query = select(BaseModelRecord).where(BaseModelRecord.deleted_at.is_(None))
    for base in session.scalars(query):
        if not Path(base.path).is_dir():
            if Path(here.get(base.id, "")).is_absolute():
                base.path = here[base.id]
            else:
                missing[base.id] = base.path
    return missing


def _settle(session: Session, contents: Contents) -> list[str]:
    """Release what no process holds any more: jobs are queued or end as requested, engines end.

    No attempt is charged. Returns the ids of the jobs that were held.
    """
    for lost in contents.left_out:
        if lost["kind"] == "checkpoint":
            checkpoints.mark_damaged(session, lost["id"])
    for gone in engines.live(session):
        engines.end(session, gone.id, EngineStatus.STOPPED)
    held = Job.state.in_(HELD)
    session.execute(update(Job).where(held).values(lease_until=func.clock_timestamp() + MOMENT))
    jobs = session.execute(select(Job.id, Job.generation).where(held)).all()
    for job_id, generation in jobs:
        claims.release(session, job_id, generation)
    return [job_id for job_id, _ in jobs]

"""Making and checking a backup: a folder with all of a stack except base models and passwords.

    backup.json          the list of files with size and sha256; and its own sha256
    tables/<table>.copy  rows, as Postgres's COPY writes text, all of one moment
    storage/<key>        bytes of uploads and results
    runs/<job>/...       prepared data, logs, committed checkpoints

A backup is complete once it has its name: before, the name of the folder ends in `.part`.
`services/backup/restores.py` restores it.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from psycopg import sql
from sqlalchemy import Table, select, text
from sqlalchemy.orm import Session

from models import (
    Base,
    Checkpoint,
    File,
    Job,
    RunFolder,
    SignIn,
    StorageUse,
    Upload,
    UploadPart,
    Worker,
)
from orpo.contract import rundir
from orpo.contract.rundir import MANIFEST
from services.files.keys import keys_of
from services.platform import storage
from services.platform.database import idle_at_will, transaction
from services.platform.errors import Conflict, Invalid
from services.platform.settings import get_settings
from services.upkeep import health

NAME = "backup.json"
FORMAT = 1
PARTIAL = ".part"
# A training changes a manifest once, when two newer checkpoints are there.
TRIES = 3
CHUNK_BYTES = 2**20

# Users sign in again, workers register themselves, and another stack has a run folder and a disk of
# its own. Of keys, only the hash is stored. Uploads that are pending expire within hours: clients
# begin them again. The files of completed ones are in the backup.
LEFT_OUT = {
    record.__tablename__ for record in (RunFolder, SignIn, StorageUse, Upload, UploadPart, Worker)
}
TABLES = [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]
# These hold a password.
SECRET_SETTINGS = {"database_url", "redis_url"}


@dataclass
class Contents:
    """What backup.json says. `tables` maps a name to its number of rows, `files` a path to facts.

    `left_out` lists what rows name and the disk lacks or has damaged: {"kind", "id", "why"}.
    """

    migration: str
    made_at: str
    settings: dict[str, Any]
    format: int = FORMAT
    tables: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(facts["size"] for facts in self.files.values())


@dataclass(frozen=True)
class Records:
    """The rows that have files, as of the same moment as the tables."""

    files: list[File]
    jobs: list[str]
    checkpoints: list[Checkpoint]


class Unreadable(Exception):
    """Bytes that a row names are missing or differ from the row; the message is a sentence."""


def make(folder: Path) -> Contents:
    """Write a backup of the stack to `folder`, which must not exist, while the stack runs.

    What is missing or damaged on the stack's own disk is left out and listed. Raises Conflict if
    the folder exists. After any error, no folder of that name is left behind.
    """
    if folder.exists():
        raise Conflict(f"{folder} exists already. Name a folder that does not.", param="folder")
    partial = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}{PARTIAL}")
    partial.mkdir(mode=0o700, parents=True)
    try:
        contents, records = _snapshot(partial)
        _add_uploads(partial, contents, records.files)
        _add_runs(partial, contents, records)
        write_file(partial / NAME, [_sealed(contents)])
        sync_folders(partial)
        partial.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return contents


def check(folder: Path) -> Contents:
    """Read every byte of a backup; raises Invalid with the first thing that is wrong with it."""
    contents = _contents(folder)
    for name, facts in contents.files.items():
        if not _is_inside(name):
            raise damaged(folder, f"it names `{name}`, which lies outside of it")
        path = folder / name
        if not path.is_file():
            raise damaged(folder, f"{name} is missing")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if path.stat().st_size != facts["size"] or sha256 != facts["sha256"]:
            raise damaged(folder, f"{name} is not what was written")
    missing = {table.name for table in TABLES} - contents.tables.keys()
    if missing and contents.migration == health.head():  # an older one had fewer tables
        raise damaged(folder, f"the rows of {min(missing)} are missing")
    return contents


def _contents(folder: Path) -> Contents:
    try:
        sealed = json.loads((folder / NAME).read_bytes())
        if sealed["sha256"] != _digest(sealed["contents"]):
            raise damaged(folder, f"{NAME} does not match its own sha256")
        if sealed["contents"]["format"] != FORMAT:
            raise Invalid(
                f"{folder} was made by another version of Oddsmith. Restore it with that version."
            )
        return Contents(**sealed["contents"])
    except FileNotFoundError:
        raise Invalid(
            f"{folder} is no backup: it has no {NAME}. A folder that ends in {PARTIAL} is one that "
            "was cut short."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise damaged(folder, f"{NAME} can't be read") from None


def damaged(folder: Path, what: str) -> Invalid:
    return Invalid(f"The backup {folder} is damaged: {what}. Nothing was written. Take another.")


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _sealed(contents: Contents) -> bytes:
    found = asdict(contents)
    return json.dumps({"sha256": _digest(found), "contents": found}, indent=1).encode()


def _digest(contents: Any) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


# --- the database -----------------------------------------------------------------------------


def _snapshot(partial: Path) -> tuple[Contents, Records]:
    """Write all tables as of one moment; return the contents so far and the rows with files."""
    with transaction() as session:
        moment = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        session.connection(execution_options=moment)
        idle_at_will(session)  # between two statements, files are written
        contents = Contents(
            migration=session.scalars(text("SELECT version_num FROM alembic_version")).one(),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=get_settings().model_dump(mode="json", exclude=SECRET_SETTINGS),
        )
        for table in TABLES:
            name = f"tables/{table.name}.copy"
            contents.files[name] = write_file(partial / name, copy_out(session, table))
            contents.tables[table.name] = _rows(partial / name)
        return contents, Records(
            files=list(session.scalars(select(File).where(File.deleted_at.is_(None)))),
            jobs=list(session.scalars(select(Job.id).where(Job.deleted_at.is_(None)))),
            checkpoints=list(
                session.scalars(
                    select(Checkpoint).where(
                        Checkpoint.damaged_at.is_(None), Checkpoint.deleted_at.is_(None)
                    )
                )
            ),
        )


def columns_of(table: Table, known: set[str] | None = None) -> sql.Composed:
    """Return a table's name and columns in the form of COPY; with `known`, only those columns."""
    columns = [c.name for c in table.columns if known is None or c.name in known]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("{} ({})").format(sql.Identifier(table.name), names)


def copy_out(session: Session, table: Table) -> Iterator[bytes]:
    """Yield a table's rows as text in COPY's form."""
    connection: Any = session.connection().connection.driver_connection
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} TO STDOUT").format(columns_of(table))) as rows,
    ):
        for block in rows:
            yield bytes(block)


def _rows(path: Path) -> int:
    """Count the rows of a file in COPY's form: one line each, since COPY escapes line breaks."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(CHUNK_BYTES), b""))


# --- bytes ------------------------------------------------------------------------------------


def _add_uploads(partial: Path, contents: Contents, files: list[File]) -> None:
    for file in files:
        try:
            contents.files |= _copy_upload(partial, contents, file)
        except Unreadable as reason:
            lost = {"kind": "file", "id": file.id, "why": str(reason)}
            contents.left_out.append(lost)


def _copy_upload(partial: Path, contents: Contents, file: File) -> dict[str, dict[str, Any]]:
    """Copy a file, the rows that were read from it, and what an audit found in them. Bytes that
    files share are copied once.
    """
    found = {}
    if not file.sha256:
        return found  # a version that is still to be made, of files that are in the backup
    keys = (file.storage_key, file.rows_key, *keys_of(file.id))
    for key in dict.fromkeys(filter(None, keys)):
        if known := contents.files.get(f"storage/{key}"):
            found[f"storage/{key}"] = known
            continue
        copy = partial / "storage" / key
        try:
            found[f"storage/{key}"] = write_file(copy, storage.chunks(key))
        except FileNotFoundError:
            copy.unlink(missing_ok=True)
            if key in (file.storage_key, file.rows_key):
                raise Unreadable("Its bytes are no longer in the storage.") from None
    if found[f"storage/{file.storage_key}"]["sha256"] != file.sha256:
        raise Unreadable("Its bytes are not those that were uploaded.")
    return found


def _add_runs(partial: Path, contents: Contents, records: Records) -> None:
    runs = get_settings().runs_dir
    for job_id in records.jobs:
        # Folders are left out: they hold tokens, which are made again from the data.
        logs = [each / rundir.log() for each in rundir.generations(runs / job_id)]
        for path in [*(runs / job_id / rundir.DATA).glob("*"), *logs]:
            if path.is_file() and not path.is_symlink() and path.suffix != ".tmp":
                name = f"runs/{path.relative_to(runs)}"
                contents.files[name] = write_file(partial / name, blocks_of(path))
    for checkpoint in records.checkpoints:
        try:
            contents.files |= _copy_checkpoint(partial, checkpoint)
        except Unreadable as reason:
            shutil.rmtree(partial / "runs" / checkpoint.path, ignore_errors=True)
            lost = {"kind": "checkpoint", "id": checkpoint.id, "why": str(reason)}
            contents.left_out.append(lost)


def _copy_checkpoint(partial: Path, checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """Copy what the checkpoint's manifest lists, each file with the hash that it states.

    A training may delete old optimizer states meanwhile: its manifest then lists fewer files.
    """
    folder = get_settings().runs_dir / checkpoint.path
    copy = partial / "runs" / checkpoint.path
    for _ in range(TRIES):
        raw = _read_manifest(folder)
        try:
            found = _copy_listed(folder, copy, json.loads(raw), checkpoint)
        except FileNotFoundError as missing:
            if _read_manifest(folder) == raw:
                raise Unreadable(f"{missing.filename} is missing.") from None
            shutil.rmtree(copy)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable("Its manifest can't be read.") from None
        else:
            found[MANIFEST] = write_file(copy / MANIFEST, [raw])
            return {f"runs/{checkpoint.path}/{name}": facts for name, facts in found.items()}
    raise Unreadable("Its manifest changed each time that it was read.")


def _read_manifest(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise Unreadable(f"{folder / MANIFEST} is missing.") from None


def _copy_listed(
    folder: Path, copy: Path, manifest: dict[str, Any], checkpoint: Checkpoint
) -> dict[str, dict[str, Any]]:
    if manifest["weights_sha256"] != checkpoint.sha256:
        raise Unreadable("Its manifest is not that of the checkpoint that was registered.")
    found = {}
    for name, facts in manifest["files"].items():
        # A training wrote these names, and a link could lead to files that it may not read.
        path = folder / name
        if not _is_inside(name) or not path.resolve().is_relative_to(folder.resolve()):
            raise Unreadable(f"Its manifest names {name}, which lies outside of it.")
        found[name] = write_file(copy / name, blocks_of(folder / name))
        if found[name] != facts:
            raise Unreadable(f"{name} does not match its manifest.")
    return found


def blocks_of(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, 1 MiB at a time."""
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            yield block


def write_file(path: Path, blocks: Iterable[bytes]) -> dict[str, Any]:
    """Write a file to the disk, and return its size in bytes and its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": digest.hexdigest(), "size": size}


def sync_folders(root: Path) -> None:
    """Force the names of everything in a folder to the disk."""
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            sync(path)


def sync(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

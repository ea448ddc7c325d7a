"""Finds files on disk that nothing needs: they are too old to be kept, or have no row.

It considers only what Oddsmith made, recognised by the form of its name. What has no row counts
only if nothing has written to it for a day. `removals.py` removes what is marked as deleted.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import BaseModelRecord, Checkpoint, Deployment, Engine, File, Job, UploadPart
from models.jobs import Purpose
from orpo.contract import rundir
from services.files.keys import keys_of, rows_beside
from services.jobs.states import ENDED
from services.platform import folders, run_folder, storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import prepared
from services.serving import engines

logger = logging.getLogger("oddsmith.leftovers")

DAY_S = 86_400.0
RUN = re.compile(r"(ftjob-[0-9a-f]{24})(\.removed)?")
MADE = re.compile(r"(ftckpt-[0-9a-f]{24})(\.gguf|\.lock|\..*)?")
# What a download is called: the model's id and its commit (`base_models.begin_download`).
DOWNLOAD = re.compile(r".+@[0-9a-f]{12}(\.removed)?")
UPLOAD = re.compile(r"(files/upload|files/file|parts/part|results/file)-[0-9a-f]{24}(\..*)?")
STEP = re.compile(r"step-\d+(\.tmp|\.removed)?")


class Kind(StrEnum):
    """The kinds of what is left over."""

    RUN = "run"
    CHECKPOINT = "checkpoint"
    MERGED = "merged"
    GGUF = "gguf"
    TOKENS = "tokens"
    UPLOAD = "upload"
    BASE_MODEL = "base_model"
    LOCK = "lock"
    COMPARISON = "comparison"


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go; `why` is a sentence."""

    kind: Kind
    path: Path
    why: str

    @property
    def size_bytes(self) -> int:
        return folders.size_bytes(self.path)

    def remove(self) -> bool:
        """Remove it; False where a process reads it."""
        if self.path.is_dir():
            return folders.remove(self.path)
        self.path.unlink(missing_ok=True)
        return True


@dataclass(frozen=True)
class Known:
    """What rows name: jobs (True where ended), those that keep no folder, checkpoints, served
    ones.
    """

    jobs: dict[str, bool]
    # Estimates and deep audits.
    passing: frozenset[str]
    paths: frozenset[Path]
    checkpoints: frozenset[str]
    served: frozenset[str]
    loaded: frozenset[str]
    # Folders of base models.
    bases: frozenset[str]
    # Storage keys of uploads and results.
    keys: frozenset[str]


def known(session: Session) -> Known:
    """Read what rows name. Call it before the disk is read: what is made meanwhile is too young."""
    jobs = session.execute(select(Job.id, Job.state, Job.purpose)).all()
    saved = session.execute(select(Checkpoint.id, Checkpoint.path)).all()
    served = select(Deployment.checkpoint_id).where(Deployment.desired == "run")
    runs = get_settings().runs_dir
    return Known(
        jobs={job.id: job.state in ENDED for job in jobs},
        passing=frozenset(job.id for job in jobs if job.purpose != Purpose.TRAIN),
        paths=frozenset(runs / checkpoint.path for checkpoint in saved),
        checkpoints=frozenset(checkpoint.id for checkpoint in saved),
        served=frozenset(filter(None, session.scalars(served))),
        loaded=frozenset(
            session.scalars(select(Engine.weights).where(Engine.status.in_(engines.LIVE)))
        ),
        bases=frozenset(
            session.scalars(
                select(BaseModelRecord.path).where(BaseModelRecord.deleted_at.is_(None))
            )
        ),
        keys=frozenset(_keys(session)),
    )


def _keys(session: Session) -> Iterator[str]:
    """Yield the storage keys of files that are not removed yet, and of parts of uploads."""
    yield from session.scalars(select(UploadPart.storage_key))
    stored = select(File.id, File.storage_key, File.rows_key).where(File.erased_at.is_(None))
    for file in session.execute(stored):
        # The rows are written before their key is; an older release writes them beside the bytes.
        written = (*keys_of(file.id), rows_beside(file.storage_key))
        yield from filter(None, (file.storage_key, file.rows_key, *written))


def find(rows: Known) -> Iterator[Leftover]:
    """Yield what can go."""
    yield from _runs(rows)
    yield from _made(rows)
    yield from _tokens()
    yield from _downloads(rows)
    for key, path in storage.in_folder():
        if UPLOAD.fullmatch(key) and key not in rows.keys and _is_old(path, DAY_S):
            yield Leftover(Kind.UPLOAD, path, "No file's row names it.")


def _runs(rows: Known) -> Iterator[Leftover]:
    for folder in get_settings().runs_dir.glob("ftjob-*"):
        name = RUN.fullmatch(folder.name)
        if name is None:
            continue
        if name[1] not in rows.jobs or name[2]:
            if _is_old(folder, DAY_S):
                yield Leftover(Kind.RUN, folder, "No job has it.")
        elif rows.jobs[name[1]]:
            yield from _of_ended(folder, rows)


def _of_ended(run: Path, rows: Known) -> Iterator[Leftover]:
    """What an ended job left: all of an estimate or a deep audit; of a training, checkpoints
    without a row.
    """
    if run.name in rows.passing:
        if _is_old(run, DAY_S):
            yield Leftover(Kind.RUN, run, "Its estimate or audit has ended.")
        return
    for folder in rundir.saved(run):
        is_listed = folder in rows.paths
        if STEP.fullmatch(folder.name) and not is_listed and _is_old(folder, DAY_S):
            yield Leftover(Kind.CHECKPOINT, folder, "It was saved, and never registered.")


def _made(rows: Known) -> Iterator[Leftover]:
    """Merged weights and GGUF files without a row, or not requested recently and not served."""
    days = get_settings().keep_merged_days
    for path in (get_settings().var.absolute() / "merged").glob("ftckpt-*"):
        name = MADE.fullmatch(path.name)
        if name is None or name[1] in rows.served or str(path) in rows.loaded:
            continue
        if name[1] not in rows.checkpoints or name[2] not in (None, ".gguf", ".lock"):
            if _is_old(path, DAY_S):
                yield Leftover(_kind_of(path), path, "No checkpoint has it.")
        elif days and path.suffix != ".lock" and _unused_s(path) > days * DAY_S:
            yield Leftover(_kind_of(path), path, f"Not asked for in {days:g} days.")


def _kind_of(path: Path) -> Kind:
    return {".gguf": Kind.GGUF, ".lock": Kind.LOCK}.get(path.suffix, Kind.MERGED)


def _tokens() -> Iterator[Leftover]:
    days = get_settings().keep_prepared_days
    for entry in get_settings().tokens_dir.glob("tokens-*"):
        is_ours = prepared.ENTRY.fullmatch(entry.name.partition(".")[0])
        if is_ours and _is_old(entry, days * DAY_S):
            yield Leftover(Kind.TOKENS, entry, f"No run has begun with them in {days:g} days.")


def _downloads(rows: Known) -> Iterator[Leftover]:
    """Base models that were downloaded and then deleted; never a user's own folder."""
    for folder in (get_settings().var.absolute() / "models").glob("*"):
        is_needed = str(folder) in rows.bases | rows.loaded
        if DOWNLOAD.fullmatch(folder.name) and not is_needed and _is_old(folder, DAY_S):
            yield Leftover(Kind.BASE_MODEL, folder, "Its base model was deleted.")


def _is_old(path: Path, age_s: float) -> bool:
    """Whether nothing has written to it for so long; False if it is gone."""
    changed_at = folders.changed_at(path)
    return changed_at is not None and changed_at < time.time() - age_s


def _unused_s(path: Path) -> float:
    """Seconds since it was last requested: each request sets its modification time."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def listed() -> list[Leftover]:
    """Return what can go; nothing if this process's run folder is not the database's."""
    with transaction() as session:
        if stranger := run_folder.stranger(session):
            logger.warning("nothing is looked for: %s", stranger)
            return []
        rows = known(session)
    return list(find(rows))


def remove(found: Iterable[Leftover]) -> list[Leftover]:
    """Remove what was found, and return those that could be; the log names each."""
    removed = []
    for leftover in found:
        facts = {"kind": leftover.kind, "path": str(leftover.path), "why": leftover.why}
        try:
            if leftover.remove():
                removed.append(leftover)
                logger.info("removed a leftover", extra=facts)
        except OSError:
            logger.exception("a leftover could not be removed", extra=facts)
    return removed

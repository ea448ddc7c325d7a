"""`oddsmith prune`: all that can be removed, listed with its size, and removed.

It puts together what was deleted, what is left over and what is too old.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Checkpoint, File, Job, UploadPart
from orpo.contract import rundir
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.files import contents, ended_uploads, seed
from services.platform import folders
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.runs import checkpoints
from services.serving import comparisons
from services.upkeep import leftovers, removals
from services.upkeep.leftovers import Kind, Leftover


@dataclass(frozen=True)
class Prunable:
    """Something that can be, or was, removed. `path` is empty for rows of the database."""

    kind: str
    path: str
    size_bytes: int
    why: str


def plan() -> list[Prunable]:
    """Return what `prune` would remove."""
    found = _measured(leftovers.listed())
    with transaction() as session:
        return [*_deleted(session), *found, *_old_comparisons(session)]


def prune() -> list[Prunable]:
    """Remove what can be removed, and return it; what is being read stays for the next time."""
    with transaction() as session:
        deleted = _deleted(session)
    removals.remove_all()
    with transaction() as session:
        still_there = _deleted(session)
        old = _old_comparisons(session)
        if old:
            comparisons.forget_old(session, get_settings().keep_comparisons_days)
    kept = {each.path for each in still_there}
    found = leftovers.listed()
    measured = dict(zip(found, _measured(found), strict=True))
    removed = [measured[each] for each in leftovers.remove(found)]
    done = [*(each for each in deleted if each.path not in kept), *removed, *old]
    if done:
        with transaction() as session:
            facts = {"count": len(done), "bytes": sum(each.size_bytes for each in done)}
            about = (seed.ORG_ID, None, Action.PRUNED, Object.STACK, "*")
            audit_log.note(session, *about, **facts)
    return done


def _measured(found: Iterable[Leftover]) -> list[Prunable]:
    return [Prunable(each.kind, str(each.path), each.size_bytes, each.why) for each in found]


def _deleted(session: Session) -> list[Prunable]:
    """What is marked as deleted, and its bytes."""
    marked = session.scalars(select(Checkpoint).where(Checkpoint.deleted_at.is_not(None)))
    places = [(Kind.CHECKPOINT, checkpoints.folder(checkpoint)) for checkpoint in marked]
    jobs = session.scalars(select(Job.id).where(Job.deleted_at.is_not(None)))
    places += [(Kind.RUN, removals.run_folder_of(job_id)) for job_id in jobs]
    why = "It was deleted."
    return [
        *(Prunable(kind, str(path), _own_bytes(kind, path), why) for kind, path in places),
        *(Prunable(Kind.UPLOAD, path, size_bytes, why) for path, size_bytes in _files(session)),
        *(
            Prunable(Kind.UPLOAD, path, size_bytes, "Its upload is no longer pending.")
            for path, size_bytes in _parts(session)
        ),
    ]


def _files(session: Session) -> Iterator[tuple[str, int]]:
    """The storage keys of deleted files; no bytes where another file has them as well."""
    marked = select(File).where(File.deleted_at.is_not(None), File.erased_at.is_(None))
    for file in session.scalars(marked).all():
        yield file.storage_key, 0 if contents.is_shared(session, file) else file.size_bytes


def _parts(session: Session) -> Iterator[tuple[str, int]]:
    """The storage keys of parts of uploads that are no longer pending."""
    parts = select(UploadPart.storage_key, UploadPart.size_bytes)
    ended = UploadPart.upload_id.in_(ended_uploads.WITH_PARTS)
    for part in session.execute(parts.where(ended).distinct()):
        yield part.storage_key, part.size_bytes


def _own_bytes(kind: Kind, path: Path) -> int:
    """The bytes of a folder; of a run without its checkpoints, which are counted by themselves."""
    whole = folders.size_bytes(path)
    if kind != Kind.RUN:
        return whole
    return whole - sum(folders.size_bytes(saved) for saved in rundir.saved(path))


def _old_comparisons(session: Session) -> list[Prunable]:
    days = get_settings().keep_comparisons_days
    if not days:
        return []
    old = comparisons.older_than(days)
    count = session.execute(select(func.count()).where(old)).scalar_one()
    why = f"{count} of them were made more than {days:g} days ago."
    return [Prunable(Kind.COMPARISON, "", 0, why)] if count else []

"""A job's prepared data: the rows of its files that lie in its run folder, and their tokens.

Tokens lie beside the jobs' folders, for all jobs on the same rows; the core notes in a job's data
which of them it has used.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from models import Job
from orpo.contract.rundir import DATA, HELD_OUT_ROWS, RENDERED, TOKENS_NOTE, TRAIN_ROWS
from services.platform.settings import get_settings

ENTRY = re.compile(r"tokens-[0-9a-f]{16}")


def folder(job_id: str) -> Path:
    """Return the folder of a job's prepared data."""
    return get_settings().runs_dir / job_id / DATA


def rows_of(job: Job, file_id: str) -> list[str]:
    """Return which of a job's files hold rows of an uploaded file."""
    held_out = job.validation_file or job.training_file
    return [
        name
        for name, source in ((TRAIN_ROWS, job.training_file), (HELD_OUT_ROWS, held_out))
        if source == file_id
    ]


def erase(job_id: str, names: Iterable[str]) -> None:
    """Remove a job's rows and the tokens made of them. May be repeated after a crash.

    Tokens that another job has used as well are kept: they belong to equal rows of another file.
    """
    data = folder(job_id)
    if not data.is_dir():
        return
    for entry in tokens_of(data) - _used_by_others(data):
        shutil.rmtree(get_settings().tokens_dir / entry, ignore_errors=True)
    quotes = (RENDERED,) if TRAIN_ROWS in names else ()
    for name in (*names, *quotes, TOKENS_NOTE):
        (data / name).unlink(missing_ok=True)


def tokens_of(data: Path) -> set[str]:
    """Return the tokens that a job has used; without a note, all that exist.

    It isn't known which tokens a job of an older release used. Tokens that another job needs are
    made again.
    """
    try:
        noted = (data / TOKENS_NOTE).read_text().splitlines()
    except FileNotFoundError:
        noted = [path.name for path in get_settings().tokens_dir.glob("tokens-*")]
    # The note was written by a process that reads what users upload.
    return {name for name in noted if ENTRY.fullmatch(name)}


def _used_by_others(data: Path) -> set[str]:
    notes = get_settings().runs_dir.glob(f"*/{DATA}/{TOKENS_NOTE}")
    others = (note.parent for note in notes if note.parent != data)
    return {name for other in others for name in tokens_of(other)}

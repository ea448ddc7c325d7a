"""Disk use by kind. It is measured in the background, since a walk takes long."""

import shutil
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import StorageUse
from orpo.contract import rundir
from services.platform import folders, storage
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.upkeep import pruning


class Kind(StrEnum):
    """What the disk is used for; `free` is the space left on the disk of the runs."""

    FILES = "files"
    PREPARED_DATA = "prepared_data"
    CHECKPOINTS = "checkpoints"
    RUN_LOGS = "run_logs"
    TOKENS = "tokens"
    MERGED = "merged"
    GGUF = "gguf"
    BASE_MODELS = "base_models"
    LOGS = "logs"
    COMPARISONS = "comparisons"
    DATABASE = "database"
    # Bytes of the above that `oddsmith prune` would remove.
    DELETABLE = "deletable"
    FREE = "free"


def last(session: Session) -> tuple[datetime | None, dict[str, int]]:
    """Return when the disk was measured last, and the bytes of each kind; None and 0 before."""
    found = session.scalar(select(StorageUse))
    use = found.use if found else {}
    return (found.measured_at if found else None), {kind: use.get(kind, 0) for kind in Kind}


def measure() -> dict[str, int]:
    """Walk the folders, and store what was found."""
    use: dict[str, int] = dict.fromkeys(Kind, 0) | _on_disk()
    use[Kind.DELETABLE] = sum(each.size_bytes for each in pruning.plan())
    with transaction() as session:
        use |= _in_database(session)
        row = {"measured_at": func.clock_timestamp(), "use": use}
        session.execute(
            insert(StorageUse)
            .values(id=1, **row)
            .on_conflict_do_update(index_elements=["id"], set_=row)
        )
    return use


def _on_disk() -> dict[str, int]:
    var, runs = get_settings().var.absolute(), get_settings().runs_dir
    merged = list((var / "merged").glob("*"))
    gguf = [path for path in merged if path.suffix == ".gguf"]
    in_runs = [path for path in runs.glob("*") if path != get_settings().tokens_dir]
    data = [run / rundir.DATA for run in in_runs]
    saved = [each / rundir.CHECKPOINTS for run in in_runs for each in rundir.generations(run)]
    sizes = {
        Kind.FILES: storage.used_bytes(),
        Kind.PREPARED_DATA: _sum(data),
        Kind.CHECKPOINTS: _sum(saved),
        Kind.TOKENS: folders.size_bytes(get_settings().tokens_dir),
        Kind.GGUF: _sum(gguf),
        Kind.MERGED: _sum(merged) - _sum(gguf),
        Kind.BASE_MODELS: folders.size_bytes(var / "models"),
        Kind.LOGS: folders.size_bytes(var / "log"),
        Kind.FREE: shutil.disk_usage(runs if runs.is_dir() else Path("/")).free,
    }
    others = _sum(in_runs) - sizes[Kind.PREPARED_DATA] - sizes[Kind.CHECKPOINTS]
    return {**sizes, Kind.RUN_LOGS: max(0, others)}


def _sum(paths: list[Path]) -> int:
    return sum(folders.size_bytes(path) for path in paths)


def _in_database(session: Session) -> dict[str, int]:
    sizes = text(
        "SELECT pg_total_relation_size('comparisons'), pg_database_size(current_database())"
    )
    comparisons, whole = session.execute(sizes).one()
    return {Kind.COMPARISONS: comparisons, Kind.DATABASE: whole}

"""`/v1/files/{id}/statistics`: sizes of a file's pairs for a base model."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Query

from api import threads
from api.deps import CallerDep
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.statistics import FileStatistics, Speed
from api.schemas.text import Id, Text
from models import File
from orpo.contract.hyperparameters import Overlong, Turns
from orpo.contract.methods import parse_method
from services.access.callers import Caller
from services.files import base_models, files, statistics
from services.platform.database import reading

DEFAULTS = parse_method("orpo", {})

router = Router(prefix="/v1/files", tags=["files"])


@router.get("/{file_id}/statistics", summary="Tokens, turns and steps for a base model")
async def retrieve(
    caller: CallerDep,
    file_id: Id,
    model: Annotated[Text, Query(description="A registered base model.")],
    max_length: Annotated[
        int, Query(ge=8, le=1_048_576, description="Longest sequence, in tokens."), DIGITS_ONLY
    ] = DEFAULTS.max_length,
    overlong: Annotated[
        Overlong, Query(description="What happens to a pair whose prompt is too long.")
    ] = DEFAULTS.overlong,
    turns: Annotated[Turns, Query(description="Trained turns.")] = DEFAULTS.turns,
    batch_size: Annotated[
        int, Query(ge=1, le=4096, description="Pairs in one step."), DIGITS_ONLY
    ] = DEFAULTS.batch_size,
    n_epochs: Annotated[
        float, Query(gt=0, le=1000, allow_inf_nan=False, description="Passes over the pairs.")
    ] = DEFAULTS.n_epochs,
) -> FileStatistics:
    """Count tokens on a sample of at most 2,000 accepted rows, and the steps of a job on all rows.

    The other settings have their defaults. Starts a process, which takes seconds.
    """
    settings = {
        "max_length": max_length,
        "overlong": overlong,
        "turns": turns,
        "batch_size": batch_size,
        "n_epochs": n_epochs,
    }
    record, base, speed = await threads.run(
        threads.READING, caller.account, find, caller, file_id, model
    )
    found = await threads.run(
        threads.SHOWING, caller.account, statistics.count, record, base, settings
    )
    measured = Speed.model_validate(speed) if speed else None
    accepted = (record.report or {}).get("accepted", 0)
    return FileStatistics.of(file_id, model, accepted, found, measured)


def find(caller: Caller, file_id: str, model: str) -> tuple[File, Path, dict[str, Any] | None]:
    """Return a validated file, the folder of a base model, and the speed measured with it."""
    with reading() as session:
        record = files.validated(files.get(session, caller, file_id))
        base = base_models.folder_of(session, caller, model)
        return record, base, statistics.speed(session, caller, model)

"""`/v1/files/{id}/rows/{line}/tokens`: what a base model sees of a row."""

from pathlib import Path as Folder
from typing import Annotated, Any

from fastapi import Path, Query

from api import threads
from api.deps import CallerDep
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.files import RowTokens
from api.schemas.text import Id, Text
from orpo.contract.hyperparameters import Turns
from orpo.contract.methods import parse_method
from services.access.callers import Caller
from services.files import tokens
from services.platform.database import reading

DEFAULTS = parse_method("orpo", {})

router = Router(prefix="/v1/files", tags=["files"])


@router.get(
    "/{file_id}/rows/{line}/tokens",
    summary="The exact tokens of a row for a base model",
)
async def retrieve(
    caller: CallerDep,
    file_id: Id,
    line: Annotated[int, Path(ge=1, lt=2**31), DIGITS_ONLY],
    model: Annotated[Text, Query(description="A registered base model.")],
    max_length: Annotated[
        int, Query(ge=8, le=1_048_576, description="Longest sequence, in tokens."), DIGITS_ONLY
    ] = DEFAULTS.max_length,
    turns: Annotated[Turns, Query(description="Trained turns.")] = DEFAULTS.turns,
) -> RowTokens:
    """Render an accepted row with the base's chat template, and say which tokens are trained.

    The other settings have their defaults. Starts a process, which takes seconds.
    """
    row, base = await threads.run(
        threads.READING, caller.account, find_row, caller, file_id, line, model
    )
    settings = {"max_length": max_length, "turns": turns}
    found = await threads.run(threads.SHOWING, caller.account, tokens.show, row, base, settings)
    return RowTokens(file_id=file_id, model=model, **found)


def find_row(caller: Caller, file_id: str, line: int, model: str) -> tuple[dict[str, Any], Folder]:
    """Return an accepted row and the folder of a base model."""
    with reading() as session:
        return tokens.find(session, caller, file_id, line, model)

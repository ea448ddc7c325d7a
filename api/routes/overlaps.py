"""`/v1/files/{id}/overlaps`: prompts of a file that stand in other files, too."""

from typing import Annotated

from fastapi import Query, Response

from api import threads
from api.deps import CallerDep
from api.pages import whole
from api.routing import Router
from api.schemas.overlaps import FileOverlaps
from api.schemas.text import Id
from api.schemas.unmask import Unmask
from models import File
from services.access.callers import Caller
from services.files import overlaps
from services.platform.database import reading

router = Router(prefix="/v1/files", tags=["files"])


@router.get(
    "/{file_id}/overlaps",
    summary="Prompts that stand in other files, too",
    response_model=FileOverlaps,
)
async def retrieve(
    caller: CallerDep,
    file_id: Id,
    against: Annotated[
        list[Id],
        Query(
            min_length=1,
            max_length=20,
            description="Other files: held-out pairs, or prompts alone, such as a benchmark's.",
        ),
    ],
    unmask: Unmask = False,
) -> Response:
    """Compare the prompts of accepted rows with those of other files, all rows of both.

    A file of which no row is accepted counts with the prompts that its rows hold in `prompt`,
    `question`, `messages`, `instruction` or `input`. Starts a process, which takes seconds.
    """
    record, others = await threads.run(
        threads.READING, caller.account, find, caller, file_id, against
    )
    found = await threads.run(
        threads.COMPARING, caller.account, overlaps.compare, record, others, unmask=unmask
    )
    return whole(FileOverlaps.of(record, others, found, masked=not unmask))


def find(caller: Caller, file_id: str, against: list[str]) -> tuple[File, list[File]]:
    """Return a validated file and those that it is compared with."""
    with reading() as session:
        return overlaps.find(session, caller, file_id, against)

"""`/v1/files/{id}/versions`: files that recipes make of the accepted rows of a file."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response

from api import threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page, whole
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.files import FileObject
from api.schemas.pages import ListPage
from api.schemas.text import Id
from api.schemas.unmask import Unmask
from api.schemas.versions import CreateVersion, RecipeBody, RecipePreview
from models import File
from orpo.audit.recipe import Step
from services.access.callers import Caller
from services.files import versions
from services.files.masking import mask
from services.platform.database import reading
from services.platform.pages import Order

router = Router(prefix="/v1/files/{file_id}/versions", tags=["files"])


@router.post("", summary="Make another version of a file", response_model=ListPage[FileObject])
def create(session: SessionDep, caller: Writer, file_id: Id, body: CreateVersion) -> Response:
    """Apply a recipe to the accepted rows of a file. The file stays as it is.

    Returns one new file, or two for a recipe that ends with a split: training, then held-out. They
    are `uploaded` until they are made and validated. 409 while the file is being validated.
    """
    made = versions.create(session, caller, file_id, body.recipe, body.filename)
    return page(map(FileObject.from_record, made))


@router.get("", summary="List the versions of a file", response_model=ListPage[FileObject])
def list_versions(
    session: ReaderDep,
    caller: CallerDep,
    file_id: Id,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100), DIGITS_ONLY] = 20,
    order: Order = Order.DESC,
) -> Response:
    """List the files that recipes made of this file."""
    found = versions.children(session, caller, file_id, after=after, limit=limit, order=order)
    return page(map(FileObject.from_record, found), limit)


@router.post("/preview", summary="What a recipe would do to a file", response_model=RecipePreview)
async def preview(
    caller: Writer, file_id: Id, body: RecipeBody, unmask: Unmask = False
) -> Response:
    """Count the rows before and after each step, and show the first rows that it changes.

    Personal data and secrets are masked, such as `[email]`. Nothing is stored. Starts a process,
    which takes seconds.
    """
    parents = await threads.run(threads.READING, caller.account, find, caller, file_id, body.recipe)
    found = await threads.run(
        threads.SHOWING, caller.account, versions.preview, parents, body.recipe
    )
    if not unmask:
        found = await threads.run(threads.READING, caller.account, mask, found)
    return whole(RecipePreview(file_id=file_id, **found))


def find(caller: Caller, file_id: str, steps: Sequence[Step]) -> list[File]:
    """Return the files whose rows the recipe takes."""
    with reading() as session:
        return versions.find(session, caller, file_id, steps)

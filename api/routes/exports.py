"""`/v1/files/{id}/export`: the accepted rows of a file in another shape and container."""

from urllib.parse import quote

from fastapi.responses import StreamingResponse

from api import media, threads
from api.deps import CallerDep
from api.routing import Router
from api.schemas.shapes import WritableShape
from api.schemas.text import Id
from models import File
from orpo.rows.packed import MEDIA_TYPES, Container
from orpo.rows.row_shapes import Shape
from services.access.callers import Caller
from services.files import exports
from services.platform.database import transaction

router = Router(prefix="/v1/files/{file_id}/export", tags=["files"])


@router.get(
    "",
    summary="Download the accepted rows in another shape",
    response_class=StreamingResponse,
    responses=media.content(*MEDIA_TYPES.values()),
)
async def export(
    caller: CallerDep,
    file_id: Id,
    shape: WritableShape = Shape.EXPLICIT,
    container: Container = Container.JSONL,
) -> StreamingResponse:
    """Stream the accepted rows. Reading them again gives the same pairs; 400 if a row has no place
    in the shape.
    """
    record = await threads.run(
        threads.REQUESTS, caller.account, find, caller, file_id, shape, container
    )
    await threads.run(threads.READING, caller.account, exports.check, record, shape, container)
    name = quote(exports.name_of(record, shape, container))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    blocks = exports.stream(record, shape, container)
    sent = threads.iterate(threads.MOVING, caller.account, blocks)
    return StreamingResponse(sent, media_type=MEDIA_TYPES[container], headers=headers)


def find(caller: Caller, file_id: str, shape: Shape, container: Container) -> File:
    """Return the file whose rows may be exported."""
    with transaction() as session:
        return exports.find(session, caller, file_id, shape, container)

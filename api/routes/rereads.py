"""`/v1/files/{id}/rereads`: the bytes of a file, read again under other column names."""

from api.deps import SessionDep, Writer
from api.routing import Router
from api.schemas.files import FileObject
from api.schemas.rereads import CreateReread
from api.schemas.text import Id
from services.files import rereads

router = Router(prefix="/v1/files/{file_id}/rereads", tags=["files"])


@router.post("", summary="Read a file again under other column names")
def create(session: SessionDep, caller: Writer, file_id: Id, body: CreateReread) -> FileObject:
    """Make another file of the same bytes, which are neither sent nor stored again. The first file
    stays as it is. The new one is `uploaded` until its rows were read.
    """
    return FileObject.from_record(rereads.create(session, caller, file_id, body.columns))

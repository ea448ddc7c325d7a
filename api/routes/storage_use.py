"""`/v1/storage`: how many bytes each kind of data takes on disk, in the whole installation.

For administrators of the organisation that runs it.
"""

from api.deps import Admin, ReaderDep
from api.routing import Router
from api.schemas.storage_use import StorageObject
from services.upkeep import storage_use

router = Router(prefix="/v1/storage", tags=["administration"])


@router.get("", summary="Disk use by kind, measured every ten minutes")
def retrieve(session: ReaderDep, caller: Admin) -> StorageObject:
    """Return the use of the whole installation, for administrators of the organisation that runs
    it.
    """
    caller.require_operator()
    return StorageObject.from_use(*storage_use.last(session))

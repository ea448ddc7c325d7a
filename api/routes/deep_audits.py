"""`/v1/files/{file_id}/deep_audits`: which pairs of a file probably have the wrong choice.

A deep audit takes the same steps as a job (prepared, queued, computed on a device) and leaves no
model behind, but a file with each pair's log odds.
"""

from typing import Annotated

from fastapi import Query, Response

from api import threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, fill, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deep_audits import CreateDeepAudit, DeepAuditObject, JudgedPairs
from api.schemas.deleted import Deleted
from api.schemas.pages import ListPage
from api.schemas.text import Id
from models.jobs import Purpose
from services.access.callers import Caller
from services.jobs import jobs
from services.platform.database import reading
from services.runs import deep_audits
from services.upkeep import deletions

router = Router(prefix="/v1/files/{file_id}/deep_audits", tags=["files"])


@router.post("", summary="Look for pairs whose choice is the wrong way round")
def create(
    session: SessionDep, caller: Writer, file_id: Id, body: CreateDeepAudit
) -> DeepAuditObject:
    """Start a deep audit: small adapters on the base model are trained on half of the pairs and
    judge the other half. It waits for a worker as a job does.
    """
    made = deep_audits.create(session, caller, file_id, body.model, body.seed)
    return DeepAuditObject.from_record(made)


@router.get("", summary="List a file's deep audits", response_model=ListPage[DeepAuditObject])
def list_audits(
    session: ReaderDep,
    caller: CallerDep,
    file_id: Id,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100), DIGITS_ONLY] = 20,
) -> Response:
    """List the deep audits of a file, newest first."""
    found = deep_audits.list_page(session, caller, file_id, after=after, limit=limit)
    return page(map(DeepAuditObject.from_record, found), limit)


@router.get("/{audit_id}", summary="One deep audit, finished or not")
def retrieve(session: ReaderDep, caller: CallerDep, file_id: Id, audit_id: Id) -> DeepAuditObject:
    """Return a deep audit; `result` is null until it has succeeded."""
    return DeepAuditObject.from_record(deep_audits.get(session, caller, file_id, audit_id))


@router.get(
    "/{audit_id}/pairs", summary="The judged pairs, the worst first", response_model=JudgedPairs
)
async def list_pairs(
    caller: CallerDep,
    file_id: Id,
    audit_id: Id,
    offset: Annotated[int, Query(ge=0, lt=2**31), DIGITS_ONLY] = 0,
    limit: Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY] = 100,
) -> Response:
    """Return judged pairs, the most suspicious first; 409 until the audit has succeeded."""
    return await threads.run(
        threads.READING, caller.account, read_pairs, caller, file_id, audit_id, offset, limit
    )


def read_pairs(caller: Caller, file_id: str, audit_id: str, offset: int, limit: int) -> Response:
    """Return a page of the judged pairs, as they are stored."""
    with (
        reading() as session,
        deep_audits.pairs(session, caller, file_id, audit_id, offset=offset) as (lines, total),
    ):
        return fill(((None, line) for line in lines), limit, offset=offset, total=total)


@router.post("/{audit_id}/cancel", summary="Stop a deep audit")
def cancel(session: SessionDep, caller: Writer, file_id: Id, audit_id: Id) -> DeepAuditObject:
    """End a deep audit, at once if no worker has it."""
    deep_audits.get(session, caller, file_id, audit_id)
    found = jobs.cancel(session, caller, audit_id, Purpose.DEEP_AUDIT)
    return DeepAuditObject.from_record(found)


@router.delete("/{audit_id}", summary="Delete a deep audit that has ended, with its result")
def delete(session: SessionDep, caller: Writer, file_id: Id, audit_id: Id) -> Deleted:
    """Delete a deep audit and its file of judged pairs; 409 if it has not ended."""
    deep_audits.get(session, caller, file_id, audit_id)
    deletions.delete_job(session, caller, audit_id, Purpose.DEEP_AUDIT)
    return Deleted(id=audit_id, object="file.deep_audit")

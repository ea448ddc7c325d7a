"""`/v1/fine_tuning/jobs/estimate`: what a job would take, before it is created.

An estimate takes the same steps as a job (prepared, queued, measured on a device) and leaves no
model behind.
"""

from dataclasses import replace

from api.deps import CallerDep, SessionDep, Writer
from api.routing import Router
from api.schemas.deleted import Deleted
from api.schemas.estimates import EstimateObject
from api.schemas.jobs import CreateJob
from api.schemas.text import Id
from models.jobs import Purpose
from services.jobs import jobs
from services.upkeep import deletions

router = Router(prefix="/v1/fine_tuning/jobs/estimate", tags=["fine-tuning"])


@router.post("", summary="Measure what a job would take: time, memory, tokens")
def create(session: SessionDep, caller: Writer, body: CreateJob) -> EstimateObject:
    """Create an estimate from the body of a new job: its data is prepared, and three steps are
    measured on a device. No model is kept, so `gates` are not read.
    """
    request = replace(body.request(), purpose=Purpose.ESTIMATE, gates=[])
    return EstimateObject.from_record(jobs.create(session, caller, request))


@router.get("/{estimate_id}", summary="One estimate, finished or not")
def retrieve(session: SessionDep, caller: CallerDep, estimate_id: Id) -> EstimateObject:
    """Return an estimate: `prepared` is known first, then `estimate` or `error`."""
    found = jobs.get(session, caller, estimate_id, purpose=Purpose.ESTIMATE)
    return EstimateObject.from_record(found)


@router.post("/{estimate_id}/cancel", summary="Stop measuring")
def cancel(session: SessionDep, caller: Writer, estimate_id: Id) -> EstimateObject:
    """End an estimate, at once if its measurement has not begun."""
    found = jobs.cancel(session, caller, estimate_id, Purpose.ESTIMATE)
    return EstimateObject.from_record(found)


@router.delete("/{estimate_id}", summary="Delete an estimate that has ended")
def delete(session: SessionDep, caller: Writer, estimate_id: Id) -> Deleted:
    """Delete an estimate; 409 if it has not ended."""
    deletions.delete_job(session, caller, estimate_id, Purpose.ESTIMATE)
    return Deleted(id=estimate_id, object="fine_tuning.job.estimate")

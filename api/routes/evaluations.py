"""`/v1/evaluations`: how good a model is, and whether it is better than another."""

from typing import Annotated, cast

from fastapi import Header, Query, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.orm import Session
from starlette.responses import StreamingResponse

from api import job_stream, media, sse, threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page, whole
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.evaluation_comparisons import EvaluationComparison
from api.schemas.evaluation_items import EvaluationItemObject
from api.schemas.evaluations import (
    CheckEvaluation,
    CreateEvaluation,
    EvaluationCheck,
    EvaluationObject,
)
from api.schemas.jobs import JobEventObject
from api.schemas.pages import ListPage
from api.schemas.suites import EvaluationSampling
from api.schemas.text import Id, Text
from models import Judge
from models.jobs import Purpose
from services.access.callers import Caller
from services.evaluations import comparing, evaluations, items
from services.evaluations.evaluations import EvaluationJob
from services.evaluations.items import Filter
from services.jobs import jobs
from services.platform.database import reading
from services.runs import job_events
from services.upkeep import deletions

router = Router(prefix="/v1/evaluations", tags=["evaluations"])

Limit = Annotated[int, Query(ge=1, le=100), DIGITS_ONLY]


@router.post("", summary="Evaluate a model")
def create(
    session: SessionDep,
    caller: Writer,
    body: CreateEvaluation,
    idempotency_key: Annotated[
        str | SkipJsonSchema[None], Header(min_length=1, max_length=255)
    ] = None,
    x_stainless_retry_count: Annotated[int, Header(ge=0, lt=2**31), DIGITS_ONLY] = 0,
) -> EvaluationObject:
    """Start an evaluation: a worker asks the model, and the baseline if there is one, all prompts
    of the file, and scores the answers. A repeated request returns the evaluation of the first, as
    with jobs.
    """
    made = evaluations.create(
        session,
        caller,
        body.request(),
        idempotency_key=idempotency_key,
        is_retry=x_stainless_retry_count > 0,
    )
    return _object(session, made)


@router.post("/check", summary="Check an evaluation before its file is uploaded")
def check(session: SessionDep, caller: Writer, body: CheckEvaluation) -> EvaluationCheck:
    """Refuse what creating the evaluation would refuse, and create nothing. `data` may be left out,
    so that a file is uploaded only for an evaluation that will be accepted.
    """
    request = body.request()
    suite = evaluations.check(session, caller, request)
    sampling = cast("EvaluationSampling", suite.sampling | request.sampling)
    return EvaluationCheck(model=request.model, suite=suite.name, sampling=sampling)


@router.get("", summary="List evaluations", response_model=ListPage[EvaluationObject])
def list_evaluations(
    session: ReaderDep,
    caller: CallerDep,
    model: Annotated[
        Id | SkipJsonSchema[None], Query(description="Only evaluations of this model")
    ] = None,
    suite: Annotated[Id | SkipJsonSchema[None], Query(description="Only of this suite")] = None,
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List evaluations, newest first."""
    found = evaluations.list_page(
        session, caller, model=model, suite=suite, after=after, limit=limit
    )
    return page((_object(session, each) for each in found), limit)


@router.get(
    "/compare", summary="Compare evaluations of one suite", response_model=EvaluationComparison
)
async def compare(
    caller: CallerDep,
    ids: Annotated[Text, Query(description="2 to 10 ids, separated by commas")],
) -> Response:
    """Return each metric of the evaluations with its 95 % interval, and the differences to the
    first, paired by prompt. They must have succeeded and be of one suite.
    """
    return await threads.run(threads.READING, caller.account, read_comparison, caller, ids)


def read_comparison(caller: Caller, ids: str) -> Response:
    """Return the comparison of evaluations whose ids are separated by commas."""
    with reading() as session:
        found = comparing.find(session, caller, ids.split(","))
        objects = [_object(session, each) for each in found]
        compared = comparing.read(session, found)
    # The connection is free while the differences are computed.
    rows, notes = comparing.rows(compared), comparing.notes(compared)
    return whole(EvaluationComparison.of(objects, rows, notes))


@router.get("/{evaluation_id}", summary="One evaluation, finished or not")
def retrieve(session: ReaderDep, caller: CallerDep, evaluation_id: Id) -> EvaluationObject:
    """Return an evaluation: its progress while it runs, and its scores once it has succeeded."""
    return _object(session, evaluations.get(session, caller, evaluation_id))


@router.post("/{evaluation_id}/cancel", summary="Stop an evaluation")
def cancel(session: SessionDep, caller: Writer, evaluation_id: Id) -> EvaluationObject:
    """End an evaluation, at once if no worker has it. Answers that were given stay stored, and are
    not asked again by another evaluation.
    """
    jobs.cancel(session, caller, evaluation_id, Purpose.EVALUATION)
    return _object(session, evaluations.get(session, caller, evaluation_id))


@router.delete("/{evaluation_id}", summary="Delete an evaluation that has ended")
def delete(session: SessionDep, caller: Writer, evaluation_id: Id) -> Deleted:
    """Delete an evaluation with its items; 409 if it has not ended."""
    deletions.delete_job(session, caller, evaluation_id, Purpose.EVALUATION)
    return Deleted(id=evaluation_id, object="evaluation")


@router.get(
    "/{evaluation_id}/items",
    summary="Prompts with their answers, the worst change first",
    response_model=ListPage[EvaluationItemObject],
)
def list_items(
    session: ReaderDep,
    caller: CallerDep,
    evaluation_id: Id,
    *,
    chosen: Annotated[
        Filter | SkipJsonSchema[None], Query(alias="filter", description="Only these")
    ] = None,
    category: Annotated[Text | SkipJsonSchema[None], Query(description="Only of this one")] = None,
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List items by the change from the baseline to the model: those that got worse come first,
    those without a baseline in the order of the file.
    """
    found = evaluations.get(session, caller, evaluation_id)
    listed = items.list_page(
        session,
        caller,
        found.evaluation,
        chosen=chosen,
        category=category,
        after=after,
        limit=limit,
    )
    return page(map(EvaluationItemObject.from_item, listed), limit)


@router.get(
    "/{evaluation_id}/events",
    summary="What happened, newest first",
    response_model=ListPage[JobEventObject],
)
def list_events(
    session: ReaderDep,
    caller: CallerDep,
    evaluation_id: Id,
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List events, as those of a job."""
    job = evaluations.get(session, caller, evaluation_id).job
    found = job_events.list_events(session, job, after=after, limit=limit)
    return page(map(JobEventObject.from_record, found), limit)


@router.get(
    "/{evaluation_id}/stream",
    summary="Follow an evaluation as server-sent events",
    response_class=StreamingResponse,
    responses=media.EVENTS,
)
async def stream(
    caller: CallerDep,
    evaluation_id: Id,
    last_event_id: Annotated[str | SkipJsonSchema[None], Header()] = None,
) -> StreamingResponse:
    """Stream frames `state` (what changes of an EvaluationObject) and `event`; at the end `done`,
    then `[DONE]`. With `Last-Event-ID` the stream goes on from there.
    """
    await job_stream.admit(caller, evaluation_id, Purpose.EVALUATION)
    followed = job_stream.follow(caller, evaluation_id, last_event_id, Purpose.EVALUATION)
    return sse.EventStream(sse.whole(followed), "evaluation")


def _object(session: Session, found: EvaluationJob) -> EvaluationObject:
    judge_id = found.evaluation.judge_id
    judge = session.get(Judge, judge_id) if judge_id else None
    return EvaluationObject.from_record(found, judge)

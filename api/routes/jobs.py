"""`/v1/fine_tuning/jobs`: OpenAI's fine-tuning API, and what a run has measured."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

import orjson
from fastapi import Header, Query, Request
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from api import job_news, job_stream, media, sse, threads
from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, fill, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.jobs import (
    CheckJob,
    CheckpointObject,
    CreateJob,
    JobCheck,
    JobEventObject,
    JobLogs,
    JobObject,
    shaped,
)
from api.schemas.labels import EditJob
from api.schemas.pages import ListPage
from api.schemas.series import PairObject, SampleObject, SeriesList
from api.schemas.text import Id, Text
from models import Job
from services.access.callers import Caller
from services.evaluations import gates
from services.jobs import integrations, jobs, labels
from services.jobs.jobs import Archived
from services.jobs.waits import Waits
from services.platform.database import reading
from services.platform.pages import AT_ONCE, unknown
from services.runs import checkpoints, job_events, metrics, outcomes, runs, series
from services.runs.job_events import EventType
from services.upkeep import deletions

router = Router(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

Limit = Annotated[int, Query(ge=1, le=1000), DIGITS_ONLY]
# Pairs and samples: the most held-out pairs that a job may have.
Many = Annotated[int, Query(ge=1, le=10_000), DIGITS_ONLY]
PART = re.compile(r"[0-9]{1,18}")
# Within the database's type of a step.
Step = Annotated[int, Field(ge=0, lt=2**31), DIGITS_ONLY]


@router.post("", summary="Create a fine-tuning job")
def create(
    session: SessionDep,
    caller: Writer,
    body: CreateJob,
    idempotency_key: Annotated[
        str | SkipJsonSchema[None], Header(min_length=1, max_length=255)
    ] = None,
    x_stainless_retry_count: Annotated[int, Header(ge=0, lt=2**31), DIGITS_ONLY] = 0,
) -> JobObject:
    """Create a job. A repeated request returns the job of the first: one with the same
    `Idempotency-Key`, or a retry of OpenAI's client. A file, a base or a setting that can't be used
    is refused, and `param` names it.
    """
    request = body.request()
    job = jobs.create(
        session,
        caller,
        request,
        idempotency_key=idempotency_key,
        is_retry=x_stainless_retry_count > 0,
        check_gates=lambda: gates.check(session, caller, request),
    )
    return _object(session, job)


@router.post("/check", summary="Check a job before its file is uploaded")
def check(session: SessionDep, caller: Writer, body: CheckJob) -> JobCheck:
    """Refuse what creating the job would refuse, and create nothing. `training_file` may be left
    out, so that a large file is uploaded only for a job that will be accepted.
    """
    request = body.request()
    method = jobs.check(session, caller, request, lambda: gates.check(session, caller, request))
    return JobCheck(model=request.model, method=shaped(method.model_dump(mode="json")))


@router.get("", summary="List jobs, newest first", response_model=ListPage[JobObject])
def list_jobs(
    request: Request,
    session: ReaderDep,
    caller: CallerDep,
    after: After = None,
    limit: Limit = 20,
    file: Annotated[
        Id | SkipJsonSchema[None],
        Query(description="Only jobs that name this file: its pairs, or the prompts of a gate."),
    ] = None,
    tag: Annotated[
        list[Text], Query(max_length=labels.MOST_TAGS, description="Only jobs with all these tags.")
    ] = [],  # noqa: B006 (FastAPI copies it)
    archived: Annotated[
        Archived, Query(description="By default, archived jobs are left out; `all` adds them.")
    ] = Archived.NO,
) -> Response:
    """List jobs; `metadata[key]=value` in the query selects those with that value."""
    found = jobs.list_jobs(
        session, caller, after=after, limit=limit, metadata=_metadata(request), file=file,
        tags=tag, archived=archived,
    )  # fmt: skip
    return page(_objects(session, found), limit)


def _objects(session: Session, found: Iterable[Job]) -> Iterator[JobObject]:
    """Jobs as objects; what was measured is read for many of them at once."""
    waits = Waits(session)
    left = iter(found)
    while some := list(islice(left, AT_ONCE)):
        # A job that was never claimed has measured nothing.
        reached = outcomes.read(session, [job.id for job in some if job.generation])
        mirrors = integrations.of_jobs(session, [job.id for job in some])
        for job in some:
            yield JobObject.from_record(
                job, waits.of(job), reached.get(job.id), mirrors.get(job.id, ())
            )


def _object(session: Session, job: Job) -> JobObject:
    return next(_objects(session, [job]))


def _metadata(request: Request) -> dict[str, str]:
    """Read `metadata[key]=value` of the query, as OpenAI spells its filter."""
    return {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }


@router.get("/{job_id}", summary="One job")
def retrieve(session: ReaderDep, caller: CallerDep, job_id: Id) -> JobObject:
    """Return a job's state, progress and settings; `error` says why it failed."""
    return _object(session, jobs.get(session, caller, job_id))


@router.post("/{job_id}", summary="Rename a job, tag it, note something about it, or archive it")
def edit(session: SessionDep, caller: Writer, job_id: Id, body: EditJob) -> JobObject:
    """Change the fields that are sent. Nothing else about the job changes: its model, its files and
    its checkpoints keep their names, and an archived job stays open to all other requests.
    """
    return _object(session, labels.edit(session, caller, job_id, body.changes()))


@router.delete("/{job_id}", summary="Delete a job that has ended, with all that it left")
def delete(session: SessionDep, caller: Writer, job_id: Id) -> Deleted:
    """Delete a job with its checkpoints, numbers, events and result files. 409 if it has not ended,
    or if a deployment serves one of its checkpoints.
    """
    deletions.delete_job(session, caller, job_id)
    return Deleted(id=job_id, object="fine_tuning.job")


@router.post("/{job_id}/cancel", summary="End a job; what it has saved stays")
def cancel(session: SessionDep, caller: Writer, job_id: Id) -> JobObject:
    """End a waiting job at once, a running one at its next step. Its checkpoints stay."""
    return _object(session, jobs.cancel(session, caller, job_id))


@router.post("/{job_id}/pause", summary="Save a checkpoint and free the device")
def pause(session: SessionDep, caller: Writer, job_id: Id) -> JobObject:
    """Ask for a pause: a running job saves a checkpoint at its next step and frees its device."""
    return _object(session, jobs.pause(session, caller, job_id))


@router.post("/{job_id}/resume", summary="Go on from the last checkpoint")
def resume(session: SessionDep, caller: Writer, job_id: Id) -> JobObject:
    """Queue a paused job, which goes on from its last checkpoint, or withdraw a pending pause."""
    return _object(session, jobs.resume(session, caller, job_id))


@router.get(
    "/{job_id}/events",
    summary="What happened and the steps' numbers, newest first",
    response_model=ListPage[JobEventObject],
)
def list_events(
    session: ReaderDep,
    caller: CallerDep,
    job_id: Id,
    after: After = None,
    limit: Limit = 20,
    kind: Annotated[
        EventType | SkipJsonSchema[None],
        Query(alias="type", description="Only these: what happened, or the numbers of steps"),
    ] = None,
) -> Response:
    """List events: messages, and the numbers (`metrics`) of at most 200 training steps."""
    job = jobs.get(session, caller, job_id)
    found = job_events.list_events(session, job, after=after, limit=limit, kind=kind)
    return page(map(JobEventObject.from_record, found), limit)


@router.get(
    "/{job_id}/checkpoints",
    summary="Checkpoints, the newest step first",
    response_model=ListPage[CheckpointObject],
)
def list_checkpoints(
    session: ReaderDep,
    caller: CallerDep,
    job_id: Id,
    after: After = None,
    limit: Limit = 10,
) -> Response:
    """List checkpoints; `fine_tuned_model_checkpoint` is the name to deploy or download one."""
    jobs.get(session, caller, job_id)
    found = checkpoints.list_of_job(session, job_id, after=after, limit=limit)
    return page(map(CheckpointObject.from_record, found), limit)


@router.get(
    "/{job_id}/series", summary="Numbers by step, cut into buckets", response_model=SeriesList
)
def read_series(
    session: ReaderDep,
    caller: CallerDep,
    job_id: Id,
    *,
    keys: Annotated[Text, Query(description="`split:name`, separated by commas; empty: all")] = "",
    x0: Step = 0,
    x1: Step | SkipJsonSchema[None] = None,
    buckets: Annotated[int, Query(ge=1, le=5000), DIGITS_ONLY] = 500,
    since: Annotated[
        Step | SkipJsonSchema[None], Query(description="Only steps after this one")
    ] = None,
    after: After = None,
) -> Response:
    """Return series, each cut into at most `buckets` ranges of steps with their least, greatest,
    mean and last value, so that no spike is lost at any zoom.
    """
    jobs.get(session, caller, job_id)
    # Read before the numbers, so that a stream from this cursor misses none.
    cursor = str(job_news.newest(session, job_id))
    known = series.keys_of(session, job_id)
    # Each key once: naming a key twice must not lengthen the answer.
    wanted = list(dict.fromkeys(key for key in keys.split(",") if key)) or known
    start = x0 if since is None else max(x0, since + 1)
    found = series.read(session, job_id, wanted, x0=start, x1=x1, buckets=buckets, after=after)
    # Not validated: a page has some 5,000 points, and to check each would double the time.
    data = ((key, orjson.dumps({"key": key, "points": points})) for key, points in found)
    return fill(data, object="series", keys=known, cursor=cursor)


@router.get(
    "/{job_id}/pairs",
    summary="Each held-out pair before and after, by line",
    response_model=ListPage[PairObject],
)
async def list_pairs(
    caller: CallerDep, job_id: Id, after: After = None, limit: Many = 10_000
) -> Response:
    """List held-out pairs with their numbers at the first and the newest evaluation."""
    return await threads.run(
        threads.READING, caller.account, read_pairs, caller, job_id, after, limit
    )


def read_pairs(caller: Caller, job_id: str, after: str | None, limit: int) -> Response:
    """Return a page of the held-out pairs."""
    (line,) = _numbers(after, 1) or (0,)
    with reading() as session:
        job = jobs.get(session, caller, job_id)
        pairs = metrics.pairs_before_after(session, job_id, after_line=line, limit=limit)
    return page(map(PairObject.from_pair, runs.with_texts(job, pairs)), limit)


@router.get(
    "/{job_id}/samples",
    summary="Answers to held-out prompts during training, by step and line",
    response_model=ListPage[SampleObject],
)
def list_samples(
    session: ReaderDep, caller: CallerDep, job_id: Id, after: After = None, limit: Many = 10_000
) -> Response:
    """List what the model answered to held-out prompts at each evaluation."""
    jobs.get(session, caller, job_id)
    place = _numbers(after, 2)
    found = metrics.samples_of(session, job_id, after=place, limit=limit)
    return page(map(SampleObject.from_record, found), limit)


def _numbers(item_id: str | None, count: int) -> list[int] | None:
    """The numbers that the id of a pair or a sample consists of."""
    if item_id is None:
        return None
    found = [int(part) for part in item_id.split(":") if PART.fullmatch(part)]
    if len(found) != count:
        raise unknown(item_id)
    return found


@router.get("/{job_id}/logs", summary="The end of the training processes' log")
def retrieve_logs(
    session: ReaderDep,
    caller: CallerDep,
    job_id: Id,
    tail_bytes: Annotated[int, Query(ge=1, le=2**20), DIGITS_ONLY] = runs.LOG_TAIL_BYTES,
) -> JobLogs:
    """Return the end of the newest attempt's log; it is empty before training begins."""
    text, truncated = runs.log_tail(jobs.get(session, caller, job_id), tail_bytes)
    return JobLogs(text=text, truncated=truncated)


@router.get(
    "/{job_id}/stream",
    summary="Follow a job as server-sent events",
    response_class=StreamingResponse,
    responses=media.EVENTS,
)
async def stream(
    caller: CallerDep,
    job_id: Id,
    last_event_id: Annotated[str | SkipJsonSchema[None], Header()] = None,
) -> StreamingResponse:
    """Stream frames `state`, `metrics` (StepNumbers) and `event`; at the end `done`, then `[DONE]`.
    With `Last-Event-ID` the stream goes on from there: no step and no event is lost or sent twice.
    """
    await job_stream.admit(caller, job_id)
    return sse.EventStream(sse.whole(job_stream.follow(caller, job_id, last_event_id)), "job")

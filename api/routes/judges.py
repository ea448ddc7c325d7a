"""`/v1/judges`: what compares and rates answers, and how often it agrees with people."""

from typing import Annotated

from fastapi import Query, Response

from api.deps import CallerDep, ReaderDep, SessionDep, Writer
from api.pages import After, page
from api.routing import Router
from api.schemas.body import DIGITS_ONLY
from api.schemas.deleted import Deleted
from api.schemas.evaluations import EvaluationObject
from api.schemas.judges import CreateJudge, JudgeObject, MeasureAgreement
from api.schemas.pages import ListPage
from api.schemas.text import Id
from services.evaluations import agreements, judges

router = Router(prefix="/v1/judges", tags=["evaluations"])


@router.post("", summary="Add a judge")
def create(session: SessionDep, caller: Writer, body: CreateJudge) -> JudgeObject:
    """Add a judge. It is asked only when an evaluation needs it."""
    return JudgeObject.from_record(judges.create(session, caller, body.request()))


@router.get("", summary="List the judges", response_model=ListPage[JudgeObject])
def list_judges(
    session: ReaderDep,
    caller: CallerDep,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100), DIGITS_ONLY] = 20,
) -> Response:
    """List your organisation's judges, newest first, with their agreement with people."""
    found = judges.list_page(session, caller, after=after, limit=limit)
    return page(map(JudgeObject.from_record, found), limit)


@router.get("/{judge_id}", summary="One judge")
def retrieve(session: ReaderDep, caller: CallerDep, judge_id: Id) -> JudgeObject:
    """Return a judge with its agreement with people."""
    return JudgeObject.from_record(judges.get(session, caller, judge_id))


@router.delete("/{judge_id}", summary="Delete a judge")
def delete(session: SessionDep, caller: Writer, judge_id: Id) -> Deleted:
    """Delete a judge; 409 while an evaluation needs it. Evaluations keep what it said."""
    judges.delete(session, caller, judge_id)
    return Deleted(id=judge_id, object="judge")


@router.post("/{judge_id}/agreement", summary="Measure how often a judge agrees with people")
def measure_agreement(
    session: SessionDep, caller: Writer, judge_id: Id, body: MeasureAgreement
) -> EvaluationObject:
    """Start an evaluation of the suite `agreement`: the judge sees labelled pairs in both orders,
    and no model is asked for answers. The result is stored with the judge once it has succeeded.
    """
    made = agreements.create(session, caller, judge_id, body.labels, body.data, body.limit)
    return EvaluationObject.from_record(made, judges.get(session, caller, judge_id))

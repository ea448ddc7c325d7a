"""How far an organisation has come: pairs, a model, a question, a vote, a file made of votes."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import Comparison, File, Job
from models.files import FilePurpose, FileStatus
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.votes.rankings import ENOUGH


@dataclass(frozen=True)
class FirstSteps:
    """Which steps are done. `new_votes` are those cast after the newest file of votes was made."""

    pairs: bool
    run: bool
    question: bool
    vote: bool
    new_votes: int
    enough_votes: int = ENOUGH


def look(session: Session, caller: Caller) -> FirstSteps:
    """Return which steps the caller's organisation has done; deleted objects do not count."""
    files = select(File.id).where(File.org_id == caller.org_id, File.deleted_at.is_(None))
    usable = files.where(
        File.purpose == FilePurpose.PAIRS,
        File.status == FileStatus.PROCESSED,
        File.report["accepted"].as_integer() > 0,
    )
    finished = select(Job.id).where(
        Job.org_id == caller.org_id,
        Job.deleted_at.is_(None),
        Job.purpose == Purpose.TRAIN,
        Job.state == JobState.SUCCEEDED,
    )
    asked = select(Comparison.id).where(Comparison.org_id == caller.org_id)
    voted = asked.where(Comparison.choice.is_not(None))
    has_voted = _any(session, voted)
    return FirstSteps(
        pairs=_any(session, usable),
        run=_any(session, finished),
        # A card of an evaluation shows answers that exist already: it asks nothing.
        question=has_voted or _any(session, asked.where(Comparison.evaluation_id.is_(None))),
        vote=has_voted,
        new_votes=_new_votes(session, caller, voted) if has_voted else 0,
    )


def _any(session: Session, query: Select[Any]) -> bool:
    return session.scalar(query.limit(1)) is not None


def _new_votes(session: Session, caller: Caller, voted: Select[str]) -> int:
    newest = select(func.max(File.created_at)).where(
        File.org_id == caller.org_id, File.made_from.is_not(None)
    )
    made_at = session.scalar(newest)
    after = voted if made_at is None else voted.where(Comparison.voted_at > made_at)
    return session.scalars(select(func.count()).select_from(after.subquery())).one()

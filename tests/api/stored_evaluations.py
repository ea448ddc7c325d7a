"""Evaluations as a worker would have stored them."""

from typing import Any

from sqlalchemy.orm import Session

from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


PATH = "/v1/evaluations"


def estimate(value: float, half: float = 0.05, n: int = 100) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def score(metric: str, value: float, **more: Any) -> dict[str, Any]:
    bare = {"category": None, "baseline": None, "difference": None}
    return {"metric": metric, "model": estimate(value), **bare, **more}


def stored(session: Session, state: JobState = JobState.SUCCEEDED, **fields: Any) -> str:
    return records.evaluation(session, CALLER, state, **fields).id

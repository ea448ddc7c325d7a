"""Raters: people who vote on the cards of one evaluation, each with a key that can do nothing else.

A rater's key is an API key with the scope `vote` alone (`services/access/api_keys.py`). Knows no
HTTP.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import ApiKey, Comparison
from services.access import api_keys
from services.access.callers import Caller, Scope
from services.votes import cards


def create_key(
    session: Session,
    caller: Caller,
    name: str,
    scopes: Sequence[Scope],
    evaluation_id: str | None,
) -> tuple[ApiKey, str]:
    """Make a key, which is a rater's if it names an evaluation. Return its record and its text.

    Raises Invalid, and for a rater's key NotFound, and Conflict if the evaluation has no cards.
    """
    made = api_keys.create(session, caller, name, scopes, evaluation_id)
    if evaluation_id is not None:
        cards.check(session, caller, evaluation_id)
    return made


def votes_of(session: Session, caller: Caller, key_ids: Collection[str]) -> dict[str, int]:
    """Return how many votes each of these keys has cast; those without a vote are left out."""
    if not key_ids:
        return {}
    voted = (
        select(Comparison.voted_by, func.count())
        .where(
            Comparison.org_id == caller.org_id,
            Comparison.choice.is_not(None),
            Comparison.voted_by.in_(key_ids),
        )
        .group_by(Comparison.voted_by)
    )
    return {str(key_id): count for key_id, count in session.execute(voted)}

"""Votes: which of two answers a person found better, and how it would be better still.

A vote is a part of its comparison, so a comparison counts once. Knows no HTTP.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import Comparison
from models.comparisons import Choice, Reason
from orpo.rows.messages import Message
from services.access import audit_log
from services.access.audit_log import Action, Object
from services.access.callers import Caller
from services.platform.errors import Conflict, Invalid
from services.platform.pages import Order, paginate
from services.serving import comparisons
from services.serving.comparisons import AT_ONCE
from services.votes import cards

# Of the newest votes, what is ranked or made into pairs at once.
MOST = 20_000
# What a choice says of the first answer: 1 better, 0.5 equal, 0 worse.
OUTCOMES = {Choice.A: 1.0, Choice.B: 0.0, Choice.TIE: 0.5, Choice.BOTH_BAD: 0.5}
ORDERED_BY = (Comparison.created_at, Comparison.id)


@dataclass(frozen=True)
class Vote:
    """What a person says of two answers. `edit` is {"side", "text"}: the answer of that side as it
    should have been.
    """

    choice: Choice
    reason: Reason | None = None
    note: str | None = None
    edit: dict[str, Any] | None = None


@dataclass(frozen=True)
class Filter:
    """Which votes are meant: those on answers of `model`, those between it and `against`, and the
    blind ones on an evaluation's answers.
    """

    model: str | None = None
    against: str | None = None
    choice: Choice | None = None
    reason: Reason | None = None
    evaluation: str | None = None

    def as_json(self) -> dict[str, str]:
        """What is filtered by, without what is not."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


def cast(session: Session, caller: Caller, comparison_id: str, vote: Vote) -> Comparison:
    """Store a vote. A later one replaces it.

    A card's vote is not replaced: it is taken back first. Raises Conflict unless there are two
    answers to choose from and the vote is still possible, and Invalid for an edit that
    changes nothing or that is of a side that isn't there.
    """
    comparison = comparisons.get(session, caller, comparison_id)
    session.refresh(comparison, with_for_update=True)  # of two tabs, one votes
    _refuse_unfinished(comparison)
    _check_card(caller, comparison, is_voted=False)
    _check_edit(comparison, vote)
    comparison.choice, comparison.reason = vote.choice, vote.reason
    comparison.note, comparison.edit = vote.note, vote.edit
    comparison.voted_by = caller.api_key_id
    comparison.voted_at = func.clock_timestamp()
    audit_log.record(
        session, caller, Action.VOTED, Object.COMPARISON, comparison_id, choice=vote.choice
    )
    session.flush()
    cards.reveal_earlier(session, caller, comparison)
    session.refresh(comparison)
    return comparison


def _refuse_unfinished(comparison: Comparison) -> None:
    if len(comparison.sides) != 2:
        raise Conflict("A vote is between two answers; this comparison has more.")
    if comparison.ended_at is None:
        raise Conflict("The answers are still coming. Vote when both have ended.")
    if not all(side.get("text") for side in comparison.sides):
        raise Conflict("One side gave no answer, so there is nothing to choose from. Ask again.")


def _check_card(caller: Caller, comparison: Comparison, *, is_voted: bool) -> None:
    """Raise Conflict if a vote on a card can't be cast, or with `is_voted` not be taken back."""
    if comparison.evaluation_id is None:
        return
    if comparison.api_key_id != caller.api_key_id:
        raise Conflict("The card was dealt to another API key. Ask for a card of your own.")
    if comparison.revealed_at is not None:
        raise Conflict(
            "Its models were revealed, so the vote can't be changed any more.", code="revealed"
        )
    if comparison.choice is not None and not is_voted:
        raise Conflict(
            "The card has a vote, maybe from another tab. Take it back to vote again.",
            code="already_voted",
        )


def _check_edit(comparison: Comparison, vote: Vote) -> None:
    if vote.edit is None:
        return
    if not vote.edit["text"].strip():
        raise Invalid("The edited answer is empty. Leave the edit out.", param="edit.text")
    if comparison.sides[vote.edit["side"]]["text"] == vote.edit["text"]:
        raise Invalid("The edit changes nothing. Leave it out.", param="edit.text")
    better = {Choice.A: 0, Choice.B: 1}.get(vote.choice)
    if better is not None and vote.edit["side"] != better:
        raise Invalid(
            "Edit the better answer: its edited text becomes the chosen one of the pair.",
            param="edit.side",
        )


def undo(session: Session, caller: Caller, comparison_id: str) -> Comparison:
    """Remove a vote; the comparison stays. Without a vote, nothing changes.

    Raises Conflict for a card whose models were revealed.
    """
    comparison = comparisons.get(session, caller, comparison_id)
    session.refresh(comparison, with_for_update=True)
    if comparison.choice is not None:
        _check_card(caller, comparison, is_voted=True)
        comparison.choice = comparison.reason = comparison.note = comparison.edit = None
        comparison.voted_by = comparison.voted_at = None
        audit_log.record(session, caller, Action.UNDONE, Object.COMPARISON, comparison_id)
        session.flush()
    return comparison


def list_page(
    session: Session,
    caller: Caller,
    wanted: Filter,
    *,
    after: str | None = None,
    limit: int = 20,
    order: Order = Order.DESC,
) -> Iterator[Comparison]:
    """Yield the comparisons that were voted on, in the order in which they were made, and one
    beyond the limit.
    """
    return paginate(
        session, _select(caller, wanted), *ORDERED_BY,
        after=after, limit=limit, order=order, at_once=AT_ONCE,
    )  # fmt: skip


def newest(session: Session, caller: Caller, wanted: Filter) -> Iterator[Comparison]:
    """Yield the newest votes, the newest first, at most MOST."""
    query = _select(caller, wanted)
    return paginate(session, query, *ORDERED_BY, limit=MOST - 1, at_once=AT_ONCE)


def _select(caller: Caller, wanted: Filter) -> Select[Comparison]:
    query = select(Comparison).where(
        Comparison.org_id == caller.org_id, Comparison.choice.is_not(None)
    )
    for model in (wanted.model, wanted.against):
        if model is not None:
            query = query.where(Comparison.sides.contains([{"model": model}]))
    if wanted.choice is not None:
        query = query.where(Comparison.choice == wanted.choice)
    if wanted.reason is not None:
        query = query.where(Comparison.reason == wanted.reason)
    if wanted.evaluation is not None:
        query = query.where(Comparison.evaluation_id == wanted.evaluation)
    return query


def asked(comparison: Comparison) -> list[Message] | None:
    """Return the conversation that both sides were asked; None if there are not two, or if they
    were not asked the same.
    """
    if len(comparison.sides) != 2:
        return None
    first, second = ((side.get("asked") or {}).get("messages") for side in comparison.sides)
    return first if first and first == second else None

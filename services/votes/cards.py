"""Blind votes on the stored answers of an evaluation, one card at a time.

A card is a comparison that shows two answers to one prompt: the model's beside the baseline's, or,
without a baseline, two samples of the model. Its sides are shuffled here. Which model gave which
answer is revealed once the vote can no longer be taken back: after the voter's next vote.

Each API key has its own cards, in an order of its own. A rater, whose key may only vote, has cards
of one evaluation, and learns no model's name before it has voted on all of them. Knows no HTTP.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import Answer, Comparison, Evaluation, EvaluationItem
from models.base import new_id
from models.jobs import JobState, Purpose
from orpo.rows.thoughts import spoken
from services.access.callers import Caller
from services.jobs import jobs
from services.platform.database import lock_until_commit
from services.platform.errors import Conflict, no_such

# Words of model names that say nothing about which model it is.
COMMON = frozenset(
    {"base", "chat", "default", "demo", "instruct", "model", "tuned", "step", "ckpt"}
)
WORD = re.compile(r"[A-Za-z][A-Za-z0-9.]{3,}")
DEALT = (
    Comparison.id, Comparison.place, Comparison.pair, Comparison.choice, Comparison.revealed_at,
)  # fmt: skip


@dataclass(frozen=True)
class Deal:
    """The next card of a voter, and what became of earlier ones.

    `card` is None once the voter has seen all. `names_model` says for each side of it whether the
    answer has a word of its model's name. `undoable` is the newest vote if it can still be
    taken back, `revealed` the newest one that can't. `voted` of at most `of` cards have a vote;
    cards whose answers are equal or empty are not shown.

    A rater has no `revealed` while there is a card, and `names_model` is False for both sides:
    either would tell a model's name.
    """

    card: Comparison | None
    names_model: list[bool]
    undoable: Comparison | None
    revealed: Comparison | None
    voted: int
    of: int


class _Place(NamedTuple):
    """Two answers to an item's prompt: their keys, and the side that gave each."""

    place: int
    pair: int
    keys: tuple[str, str]
    sides: tuple[str, str]


def deal(session: Session, caller: Caller, evaluation_id: str) -> Deal:
    """Return the voter's open card, or deal the next one.

    Raises NotFound, and Conflict if the evaluation has no two answers to one prompt.
    """
    evaluation = _evaluation(session, caller, evaluation_id)
    # Two tabs of one voter get the same card.
    lock_until_commit(session, f"cards {evaluation_id} {caller.api_key_id}")
    dealt = session.execute(
        select(*DEALT).where(*_mine(caller, evaluation_id)).order_by(Comparison.voted_at)
    ).all()
    places = _all_places(session, evaluation)
    open_ = [each.id for each in dealt if each.choice is None]
    voted = [each for each in dealt if each.choice is not None]
    hidden = [each.id for each in voted if each.revealed_at is None]
    told = [each.id for each in voted if each.revealed_at is not None]
    card = (
        session.get_one(Comparison, open_[-1])
        if open_
        else _next(
            session,
            caller,
            evaluation,
            _left(caller, places, {(each.place, each.pair) for each in dealt}),
        )
    )
    undoable, revealed = (
        session.get_one(Comparison, ids[-1]) if ids else None for ids in (hidden, told)
    )
    named = [not caller.is_rater and names_model(side) for side in card.sides] if card else []
    told_now = None if caller.is_rater and card else revealed
    return Deal(card, named, undoable, told_now, len(voted), len(places))


def check(session: Session, caller: Caller, evaluation_id: str) -> None:
    """Raise what `deal` would: NotFound, or Conflict if the evaluation has no cards."""
    _all_places(session, _evaluation(session, caller, evaluation_id))


def reveal(session: Session, caller: Caller, evaluation_id: str) -> None:
    """Reveal the models of each card that has a vote. These votes can't be changed afterwards."""
    _evaluation(session, caller, evaluation_id)
    _reveal(session, *_mine(caller, evaluation_id))


def reveal_earlier(session: Session, caller: Caller, card: Comparison) -> None:
    """Reveal the models of the cards that were voted on before this one."""
    if card.evaluation_id is not None:
        _reveal(session, *_mine(caller, card.evaluation_id), Comparison.id != card.id)


def _reveal(session: Session, *which: Any) -> None:
    session.execute(
        update(Comparison)
        .where(*which, Comparison.choice.is_not(None), Comparison.revealed_at.is_(None))
        .values(revealed_at=func.clock_timestamp())
    )


def _mine(caller: Caller, evaluation_id: str) -> tuple[Any, ...]:
    return (
        Comparison.evaluation_id == evaluation_id,
        Comparison.org_id == caller.org_id,
        Comparison.api_key_id == caller.api_key_id,
    )


def _evaluation(session: Session, caller: Caller, evaluation_id: str) -> Evaluation:
    if caller.is_rater and caller.evaluation_id != evaluation_id:
        raise no_such("evaluation", evaluation_id, "evaluation_id")
    job = jobs.get(session, caller, evaluation_id, purpose=Purpose.EVALUATION)
    if job.state != JobState.SUCCEEDED:
        raise Conflict(
            f"The evaluation is {job.state}. Vote on its answers once it has succeeded.",
            param="evaluation_id",
            code="not_ended",
        )
    return session.get_one(Evaluation, job.id)


def _all_places(session: Session, evaluation: Evaluation) -> list[_Place]:
    found = list(_places(session, evaluation))
    if not found:
        raise Conflict(
            "The evaluation has no two answers to one prompt to choose from. Evaluate with a "
            "baseline, or with several samples.",
            param="evaluation_id",
            code="no_cards",
        )
    return found


def _places(session: Session, evaluation: Evaluation) -> Iterator[_Place]:
    """All cards that an evaluation may have. Of a conversation, the answers to the first turn are
    compared: later turns ask both sides different things.
    """
    columns = (
        EvaluationItem.place,
        EvaluationItem.answers,
        EvaluationItem.baseline_answers,
        func.jsonb_array_length(EvaluationItem.turns).label("turns"),
    )
    found = select(*columns).where(EvaluationItem.evaluation_id == evaluation.id)
    for item in session.execute(found.order_by(EvaluationItem.place)):
        if not item.turns:  # the prompts were erased with their file
            continue
        ours, theirs = item.answers[:: item.turns], item.baseline_answers[:: item.turns]
        sides = ("model", "baseline") if theirs else ("model", "model")
        pairs = (
            zip(ours, theirs, strict=False) if theirs else zip(ours[::2], ours[1::2], strict=False)
        )
        for pair, keys in enumerate(pairs):
            if keys[0] != keys[1]:
                yield _Place(item.place, pair, keys, sides)


def _left(
    caller: Caller, places: Sequence[_Place], seen: set[tuple[int | None, int | None]]
) -> list[_Place]:
    """The places without a card, in the voter's own order."""

    def rank(each: _Place) -> str:
        name = f"{caller.api_key_id} {each.place} {each.pair}"
        return hashlib.sha256(name.encode()).hexdigest()

    return sorted((each for each in places if (each.place, each.pair) not in seen), key=rank)


def _next(
    session: Session, caller: Caller, evaluation: Evaluation, left: Sequence[_Place]
) -> Comparison | None:
    """Deal the first card whose two answers differ."""
    for place in left:
        found = session.scalars(
            select(Answer).where(Answer.org_id == caller.org_id, Answer.key.in_(place.keys))
        )
        by_key = {answer.key: answer for answer in found}
        answers = [by_key[key] for key in place.keys if key in by_key]
        texts = {spoken(answer.text).strip() for answer in answers}
        if len(texts) == 2 and all(texts):
            return _card(session, caller, evaluation, place, answers)
    return None


def _card(
    session: Session,
    caller: Caller,
    evaluation: Evaluation,
    place: _Place,
    answers: Sequence[Answer],
) -> Comparison:
    shown = list(zip(place.sides, answers, strict=True))
    if secrets.randbits(1):
        shown.reverse()
    item = session.get_one(EvaluationItem, (evaluation.id, place.place))
    asked = {**evaluation.sampling, "messages": item.turns[0]}
    card = Comparison(
        id=new_id("cmp"),
        org_id=caller.org_id,
        api_key_id=caller.api_key_id,
        sides=[
            {"side": number, **_attested(evaluation, side), "asked": asked, **_said(answer)}
            for number, (side, answer) in enumerate(shown)
        ],
        evaluation_id=evaluation.id,
        place=place.place,
        pair=place.pair,
        ended_at=func.clock_timestamp(),
    )
    session.add(card)
    session.flush()
    session.refresh(card)
    return card


def _attested(evaluation: Evaluation, side: str) -> dict[str, Any]:
    """Which model gave an answer, as the worker that asked it has recorded."""
    found = (evaluation.target if side == "model" else evaluation.baseline) or {}
    return {
        "model": found.get("model") or "reference",
        "base_model": None,
        "deployment_id": None,
        "adapter": None,
        "checkpoint_step": None,
        "weights_sha256": found.get("weights_sha256"),
        "device": None,
    }


def _said(answer: Answer) -> dict[str, Any]:
    """What the voter sees of an answer: not its thought."""
    return {"text": spoken(answer.text), "finish_reason": answer.finish_reason}


def names_model(side: dict[str, Any]) -> bool:
    """Whether an answer has a word of its model's name, so that the vote may not be blind."""
    words = {word.lower() for word in WORD.findall(side["model"])} - COMMON
    text = side["text"].lower()
    return any(word in text for word in words)

"""Judgments: what a judge is to be asked about an item, under which key its reply is stored, and
which replies are missing. Knows no engine.

A key is a sha256 of the judge's identity, what it is shown, and the answers in their order. So the
same question is asked once, whatever evaluation it belongs to.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from evals import judge_prompts, verdicts
from evals.judge_prompts import Message, Style
from evals.verdicts import Verdict
from models import Answer, Evaluation, EvaluationItem, Judge, Judgment
from orpo.rows.thoughts import spoken
from services.evaluations import answers, written
from services.evaluations.judges import Kind
from services.evaluations.suites import Judging, Slot, suite_of
from services.platform.storable import storable

# Keys in one query: Postgres takes 65,535 values.
AT_ONCE = 10_000


@dataclass(frozen=True)
class Ask:
    """What a judge that writes is asked about an item, and how its reply is read."""

    key: str
    place: int
    messages: list[Message]
    style: Style


@dataclass(frozen=True)
class Scored:
    """An answer that a reward model is to score: the conversation before it, and its text."""

    key: str
    place: int
    prompt: list[Message]
    answer: str


Wanted = Ask | Scored
# The value of a judgment, and why its reply ended (`finish_reason`).
Outcome = tuple[float | None, str | None]


@dataclass(frozen=True)
class Reply:
    """A judge's reply under its key; `value` is None if it has no verdict."""

    key: str
    text: str
    value: float | None
    finish_reason: str | None = None


def slots(evaluation: Evaluation, kind: str | None, item: EvaluationItem) -> list[Slot]:
    """Return the judgments of an item, in the order of its `judgments`. `kind` is the judge's, None
    without one.

    A reward model gives each answer a number, so that it needs no pair of them.
    """
    suite = suite_of(evaluation.suite)
    has_baseline = bool(item.baseline_answers)
    if suite.reads_pairs:
        return suite.slots(turns=1, orders=1, has_baseline=evaluation.baseline is not None)
    if kind is None:
        return []
    turns = len(item.turns) or len(item.answers)  # the prompts are erased with their file
    if kind == Kind.REWARD and suite.judging is Judging.PAIRS:
        return [Slot(turns - 1, ("model",)), Slot(turns - 1, ("baseline",))] if has_baseline else []
    return suite.slots(turns=turns, orders=evaluation.orders, has_baseline=has_baseline)


def plan(
    evaluation: Evaluation,
    judge: Judge,
    identity: Mapping[str, Any],
    item: EvaluationItem,
    texts: Mapping[str, str],
) -> list[Wanted | None]:
    """Return what the judge is to be asked about an item, one entry for each of its slots.

    `texts` are answers by their key. An entry is None if an answer that it needs is not there.
    """
    sides = {
        "model": [texts.get(key) for key in item.answers],
        "baseline": [texts.get(key) for key in item.baseline_answers],
    }
    return [
        _wanted(evaluation, judge, identity, item, slot, [sides[side] for side in slot.shown])
        for slot in slots(evaluation, judge.kind, item)
    ]


def _wanted(
    evaluation: Evaluation,
    judge: Judge,
    identity: Mapping[str, Any],
    item: EvaluationItem,
    slot: Slot,
    shown: Sequence[Sequence[str | None]],
) -> Wanted | None:
    upto = slot.turn + 1
    texts = [[text for text in side[:upto] if text is not None] for side in shown]
    if any(len(side) < upto for side in texts):
        return None
    if judge.kind == Kind.REWARD:
        *earlier, last = texts[0]
        prompt = answers.conversation(item.turns, earlier)
        return Scored(_key(identity, prompt, [last]), item.place, prompt, last)
    template = evaluation.options.get("judge_prompt")
    style = judge_prompts.style_of(evaluation.suite, template)
    questions = [judge_prompts.as_text(turn) for turn in item.turns[:upto]]
    if len(shown) == 2:
        pair = [_numbered(side) for side in texts]
        messages = judge_prompts.compare(
            evaluation.suite, template, _numbered(questions), pair[0], pair[1]
        )
    else:
        messages = judge_prompts.rate(
            template, item.category, questions, texts[0], _references(item)
        )
    return Ask(_key(identity, messages, [side[-1] for side in texts]), item.place, messages, style)


def _numbered(texts: Sequence[str]) -> str:
    """One text stands as it is; several get the number of their turn."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[Turn {at}]\n{text}" for at, text in enumerate(texts, 1))


def _references(item: EvaluationItem) -> list[str]:
    found = item.reference.get("reference")
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _key(identity: Mapping[str, Any], messages: Sequence[Message], judged: Sequence[str]) -> str:
    return written.sha256(identity=identity, messages=messages, answers=judged)


def texts_of(session: Session, org_id: str, items: Iterable[EvaluationItem]) -> dict[str, str]:
    """Return what the items' answers say, without thoughts, by their keys."""
    keys = {key for item in items for key in (*item.answers, *item.baseline_answers)}
    rows = session.execute(
        select(Answer.key, Answer.text).where(Answer.org_id == org_id, Answer.key.in_(keys))
    )
    return {row.key: spoken(row.text) for row in rows}


def missing(session: Session, org_id: str, keys: Collection[str]) -> set[str]:
    """Return those of the keys that no judgment is stored under."""
    wanted, left = list(keys), set(keys)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        left -= set(
            session.scalars(
                select(Judgment.key).where(Judgment.org_id == org_id, Judgment.key.in_(some))
            )
        )
    return left


def store(session: Session, org_id: str, replies: Sequence[Reply]) -> None:
    """Store replies. One that another evaluation has stored meanwhile stays as it is."""
    if not replies:
        return
    session.execute(
        insert(Judgment).on_conflict_do_nothing(),
        [
            {
                "org_id": org_id,
                "key": reply.key,
                "text": storable(reply.text),
                "value": reply.value,
                "finish_reason": reply.finish_reason,
            }
            for reply in replies
        ],
    )


def values_of(session: Session, org_id: str, keys: Collection[str]) -> dict[str, float | None]:
    """Return the values of the stored judgments by their keys; None where a reply has none."""
    return {key: value for key, (value, _) in outcomes_of(session, org_id, keys).items()}


def outcomes_of(session: Session, org_id: str, keys: Iterable[str]) -> dict[str, Outcome]:
    """Return the outcome of each judgment that is stored, by its key."""
    wanted, found = list(dict.fromkeys(keys)), {}
    query = select(Judgment.key, Judgment.value, Judgment.finish_reason)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        rows = session.execute(query.where(Judgment.org_id == org_id, Judgment.key.in_(some)))
        found |= {row.key: (row.value, row.finish_reason) for row in rows}
    return found


def verdict(
    shown: Sequence[Slot], keys: Sequence[str], values: Mapping[str, float | None]
) -> Verdict:
    """Return the verdict on the model's answer from the judgments of one item on pairs.

    `shown` are the item's slots and `keys` its judgments. Of two rewards the higher one wins, in
    whatever order the answers stand.
    """
    given = {slot.shown: values.get(key) for slot, key in zip(shown, keys, strict=True)}
    if ("model",) in given:
        ours, theirs = given[("model",)], given.get(("baseline",))
        won = None if ours is None or theirs is None else verdicts.of_numbers(ours, theirs)
        return Verdict(won, won)
    second = given.get(("baseline", "model"))
    return Verdict(given.get(("model", "baseline")), None if second is None else 1 - second)

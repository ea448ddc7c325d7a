"""Answers of models, written once and found by what decides on them. Knows no engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import Answer, Evaluation
from services.evaluations import written

AT_ONCE = 1000


@dataclass(frozen=True)
class New:
    """An answer that was just given; `key` is what `key` makes of its request."""

    key: str
    text: str
    thought: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def key(
    identity: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    sampling: Mapping[str, Any],
    sample: int = 0,
) -> str:
    """Return the key of an answer.

    `identity` is what answers: hashes of weights and template and the engine's version
    (`services.serving.identities.Identity.as_key`), or of an endpoint `base_url` and `model`.
    `sample` numbers the answers to one request. A model's name is no part of it.
    """
    return written.sha256(identity=identity, messages=messages, sampling=sampling, sample=sample)


def conversation(
    turns: Sequence[Sequence[dict[str, Any]]], answers: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the messages that ask for the next answer: each turn that has one, with its answer,
    and the turn after these.
    """
    said: list[dict[str, Any]] = []
    for turn, text in zip(turns, answers, strict=False):
        said += [*turn, {"role": "assistant", "content": text}]
    return [*said, *turns[len(answers)]]


def asked(evaluation: Evaluation, turns: int) -> int:
    """Return how many answers a side gives to an item with so many turns: one for each turn, in
    each of its samples.
    """
    return turns * samples(evaluation)


def samples(evaluation: Evaluation) -> int:
    """Return how many times each prompt is asked."""
    return evaluation.options.get("samples", 1)


def seed_of(seed: int, sample: int) -> int:
    """Return the seed of a sample, from 0 to 2**31 - 1; the first has that of the evaluation.

    The others are hashes, so that evaluations with neighbouring seeds share no samples.
    """
    if sample == 0:
        return seed
    return int(written.sha256(seed=seed, sample=sample)[:8], 16) & (2**31 - 1)


def given(text: str) -> New:
    """Return an answer that a file gives, under a key of its text."""
    return New(written.sha256(given=text), text)


def known(session: Session, org_id: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the texts of those answers that were given before, by key."""
    wanted, found = list(dict.fromkeys(keys)), dict[str, str]()
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        query = select(Answer.key, Answer.text).where(Answer.org_id == org_id, Answer.key.in_(some))
        found.update((row.key, row.text) for row in session.execute(query))
    return found


def store(session: Session, org_id: str, new: Sequence[New]) -> None:
    """Write answers; one that is there already stays as it is."""
    for start in range(0, len(new), AT_ONCE):
        rows = [{"org_id": org_id, **asdict(each)} for each in new[start : start + AT_ONCE]]
        session.execute(insert(Answer).values(rows).on_conflict_do_nothing())

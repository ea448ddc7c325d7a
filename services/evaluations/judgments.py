"""Judgments, written once and found by what decides on them. Knows no judge's address."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import Judgment
from services.evaluations import written

AT_ONCE = 1000


@dataclass(frozen=True)
class New:
    """A judgment that was just given; `key` is what `key` makes of its request."""

    key: str
    text: str
    value: float | None
    finish_reason: str | None = None


def key(
    judge: Mapping[str, Any], prompt_sha256: str, answers: Sequence[str], repeat: int = 0
) -> str:
    """Return the key of a judgment.

    `judge` is its identity (`services.evaluations.judges.identity`), `prompt_sha256` the sha256 of
    the judge's prompt, and `answers` the sha256 of each answer's text in the order in which they
    are shown (`written.of_text`).
    """
    return written.sha256(judge=judge, prompt=prompt_sha256, answers=answers, repeat=repeat)


def known(session: Session, org_id: str, keys: Iterable[str]) -> set[str]:
    """Return the keys of those judgments that were given before."""
    wanted, found = list(dict.fromkeys(keys)), set[str]()
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        of_org = select(Judgment.key).where(Judgment.org_id == org_id)
        found.update(session.scalars(of_org.where(Judgment.key.in_(some))))
    return found


def store(session: Session, org_id: str, new: Sequence[New]) -> None:
    """Write judgments; one that is there already stays as it is."""
    for start in range(0, len(new), AT_ONCE):
        rows = [{"org_id": org_id, **asdict(each)} for each in new[start : start + AT_ONCE]]
        session.execute(insert(Judgment).values(rows).on_conflict_do_nothing())

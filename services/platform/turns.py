"""Round robin over API keys whose work waits for the same worker.

Knows no noun: what waits is a row that belongs to a key (or, without one, to an organisation).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from models import BaseModelRecord, File, Job

T = TypeVar("T")

# Items of one key that are considered: more than a queue has workers, each of which may hold one.
LOOKED_AT = 20
# Keys that are remembered. Forgetting them costs one of them a turn.
MAX_KEYS = 10_000


@dataclass(frozen=True)
class Item:
    """One piece of work that waits: `work(id)` does it."""

    account: str
    created_at: datetime
    id: str
    work: Callable[[str], None]


class Turns:
    """The order in which this process has served keys; another process has an order of its own."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._count = 0

    def order(self, waiting: Iterable[Item]) -> list[Item]:
        """Return what waits in turn: first the oldest item of each key, then the second of each.

        Within such a round a key comes earlier the longer ago it was served.
        """
        oldest_first = sorted(waiting, key=lambda item: item.created_at)

        def place(ranked: tuple[int, Item]) -> tuple[int, int, datetime]:
            at, item = ranked
            return at, self._served.get(item.account, 0), item.created_at

        ranked = rounds(oldest_first, lambda item: item.account)
        return [item for _, item in sorted(ranked, key=place)]

    def serve(self, account: str) -> None:
        """Note that the key has its turn now."""
        if len(self._served) >= MAX_KEYS:
            self._served.clear()
        self._count += 1
        self._served[account] = self._count


def rounds(
    items: Iterable[T], account: Callable[[T], str], begun: Callable[[T], int] = lambda _: 0
) -> list[tuple[int, T]]:
    """Return each item with its round: the first of each account has 0, the second 1.

    `begun` is how many rounds an item's account is ahead already.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for item in items:
        name = account(item)
        ranked.append((begun(item) + seen[name], item))
        seen[name] += 1
    return ranked


def account_of(record: type[File] | type[Job] | type[BaseModelRecord]) -> ColumnElement[str]:
    """The account whose turn a row takes: its key, or its organisation, as in `Caller.account`."""
    return func.coalesce(record.api_key_id, record.org_id)


def oldest(
    session: Session,
    record: type[File] | type[Job] | type[BaseModelRecord],
    work: Callable[[str], None],
    *conditions: Any,
) -> list[Item]:
    """Return the oldest rows of each key that satisfy `conditions`, as work to be done."""
    account = account_of(record).label("account")
    place = func.row_number().over(partition_by=account, order_by=(record.created_at, record.id))
    ranked = (
        select(account, record.created_at, record.id, place.label("place"))
        .where(*conditions)
        .subquery()
    )
    found = session.execute(
        select(ranked.c.account, ranked.c.created_at, ranked.c.id)
        .where(ranked.c.place <= LOOKED_AT)
        .order_by(ranked.c.created_at)
    )
    return [Item(row.account, row.created_at, row.id, work) for row in found]

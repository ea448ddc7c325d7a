"""One page of a listing, by the last id seen. Knows no noun and no HTTP.

A listing yields one record more than was asked for, where there is one. The extra record shows the
caller that others follow. The caller may stop earlier, since records differ in size.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from services.platform.errors import Invalid

Record = TypeVar("Record")


class HasId(Protocol):
    @property
    def id(self) -> str: ...


Named = TypeVar("Named", bound=HasId)

# Records that are read at once, and so are in memory together: a page of the usual size is one
# query. Listings of large records take fewer.
AT_ONCE = 100


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


def paginate(
    session: Session,
    query: Select[Record],
    *keys: Any,
    after: Any = None,
    limit: int = 20,
    order: str = Order.DESC,
    at_once: int = AT_ONCE,
) -> Iterator[Record]:
    """Yield up to `limit` + 1 records of `query` that follow the one whose id is `after`.

    `keys` are the columns to sort by, the id last: `File.created_at, File.id`. An `after` that
    was deleted softly still marks its place. Raises Invalid for an id that never existed.
    """
    place = None
    if after is not None:
        anchor = session.execute(select(*keys).where(keys[-1] == after)).one_or_none()
        if anchor is None:
            raise unknown(after)
        place = tuple(anchor)
    return walk(session, query, *keys, place=place, limit=limit, order=order, at_once=at_once)


def walk(
    session: Session,
    query: Select[Record],
    *keys: Any,
    place: Sequence[Any] | None = None,
    limit: int = 20,
    order: str = Order.DESC,
    at_once: int = AT_ONCE,
) -> Iterator[Record]:
    """Yield up to `limit` + 1 records that follow the place whose `keys` have these values."""
    rank = tuple_(*keys)
    query = query.order_by(*(key.asc() if order == Order.ASC else key.desc() for key in keys))
    left = limit + 1
    while left > 0:
        following = query
        if place is not None:
            here = tuple_(*place)
            following = query.where(rank > here if order == Order.ASC else rank < here)
        wanted = min(left, at_once + 1)
        found = session.scalars(following.limit(wanted)).all()
        yield from found
        if len(found) < wanted:
            return
        left -= wanted
        place = [getattr(found[-1], key.key) for key in keys]


def following(records: Iterable[Named], after: str | None, limit: int) -> Iterator[Named]:
    """Return up to `limit` + 1 of `records` that follow the one whose id is `after`.

    For listings that are not tables. Raises Invalid if no record has that id.
    """
    left = iter(records)
    if after is not None and all(record.id != after for record in left):
        raise unknown(after)
    return islice(left, limit + 1)


def unknown(after: str) -> Invalid:
    return Invalid(
        f"No item has the id `{after}`. Pass the `last_id` of the page before.", param="after"
    )

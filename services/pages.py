"""One page of a listing, by the last id seen. Knows no noun and no HTTP."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from services.errors import Invalid

Record = TypeVar("Record")


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


@dataclass(frozen=True)
class Page(Generic[Record]):
    items: list[Record]
    has_more: bool


def paginate(
    session: Session,
    query: Select[Record],
    *keys: Any,
    after: Any = None,
    limit: int = 20,
    order: str = Order.DESC,
) -> Page[Record]:
    """Return up to `limit` records of `query` that follow the one whose id is `after`.

    `keys` are the columns to sort by, the id last: `File.created_at, File.id`. An `after` that
    was deleted softly still marks its place; one that never existed is Invalid.
    """
    rank = tuple_(*keys)
    if after is not None:
        anchor = session.execute(select(*keys).where(keys[-1] == after)).one_or_none()
        if anchor is None:
            raise Invalid(
                f"No item has the id `{after}`. Pass the `last_id` of the page before.",
                param="after",
            )
        place = tuple_(*anchor)
        query = query.where(rank > place if order == Order.ASC else rank < place)
    sorting = [key.asc() if order == Order.ASC else key.desc() for key in keys]
    found = list(session.scalars(query.order_by(*sorting).limit(limit + 1)))
    return Page(found[:limit], has_more=len(found) > limit)

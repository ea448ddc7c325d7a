"""Curves of a run at any zoom, read in about as many rows as are drawn.

Each write of metrics also renews the buckets of 16, 64, 512 and 4,096 steps that it touched, each
width from the one below. A curve is then summed up from the widest buckets that still fit into
its points: for a million steps in 500 points, 1,953 rows a series are read, not a million.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from sqlalchemy import DOUBLE_PRECISION, Subquery, case, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.orm import Session

from models import Metric, MetricBucket
from services.platform.pages import unknown

WIDTHS = (16, 64, 512, 4096)
# Each has about 150 bytes as JSON: a page of them is read in one or two queries.
POINTS_AT_ONCE = 8000
FACTS = ("x0", "x1", "min", "max", "sum", "finite", "count", "last")


def roll_up(session: Session, job_id: str, split: str, first: int, last: int) -> None:
    """Renew the buckets that hold steps `first` to `last` of a split, after their rows changed."""
    keys = [column.name for column in MetricBucket.__table__.primary_key]
    for below, width in pairwise((1, *WIDTHS)):
        rows = _rows(below)
        start = (rows.c.start // width * width).label("start")
        steps = rows.c.start.between(first // width * width, last // width * width + width - 1)
        query = (
            select(literal(job_id), literal(width), rows.c.split, rows.c.name, start, *_sum(rows))
            .where(rows.c.job_id == job_id, rows.c.split == split, steps)
            .group_by(rows.c.split, rows.c.name, start)
        )
        statement = insert(MetricBucket).from_select([*keys, *FACTS], query)
        renewed = {fact: statement.excluded[fact] for fact in FACTS}
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_=renewed))


def keys_of(session: Session, job_id: str) -> list[str]:
    """Return the series that the job has, as `split:name`."""
    query = (
        select(MetricBucket.split, MetricBucket.name)
        .where(MetricBucket.job_id == job_id, MetricBucket.width == WIDTHS[-1])
        .distinct()
    )
    return sorted(f"{split}:{name}" for split, name in session.execute(query))


def read(
    session: Session,
    job_id: str,
    keys: Iterable[str],
    *,
    x0: int = 0,
    x1: int | None = None,
    buckets: int = 500,
    after: str | None = None,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each series cut into at most `buckets` equal ranges of steps within [x0, x1].

    Yields only series that follow the key `after`, in the order of `keys`; `after` does not change
    the ranges. Series are read some at a time, so that the caller may stop early. Raises Invalid if
    `after` is not one of the keys.

    A point is {x0, x1, min, max, mean, last, count, finite}. Spikes show at any width, and `finite`
    shows even a single value that was not finite. If points are wider than 16 steps, the first may
    begin and the last may end less than a point's width beyond the range.
    """
    wanted = list(keys)
    last = _last_step(session, job_id, wanted)
    x1 = last if x1 is None or last is None else min(x1, last)
    if after is not None and after not in wanted:
        raise unknown(after)
    left = wanted if after is None else wanted[wanted.index(after) + 1 :]
    at_once = max(1, POINTS_AT_ONCE // buckets)
    for start in range(0, len(left), at_once):
        some = left[start : start + at_once]
        found = {} if x1 is None or x1 < x0 else _read(session, job_id, some, x0, x1, buckets)
        yield from ((key, found.get(key, [])) for key in some)


def _read(
    session: Session, job_id: str, keys: list[str], x0: int, x1: int, buckets: int
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    width = -(-(x1 - x0 + 1) // buckets)
    finest = max(each for each in (1, *WIDTHS) if each <= width)
    rows = _rows(finest)
    place = func.greatest(0, (rows.c.start - x0) // width).label("place")
    query = (
        select(rows.c.split, rows.c.name, *_sum(rows))
        .where(
            rows.c.job_id == job_id,
            tuple_(rows.c.split, rows.c.name).in_(_split(keys)),
            rows.c.start.between(x0 // finest * finest, x1),
        )
        .group_by(rows.c.split, rows.c.name, place)
        .order_by(rows.c.split, rows.c.name, place)
    )
    for row in session.execute(query):
        split, name, *facts = row
        point: dict[str, Any] = dict(zip(FACTS, facts, strict=True))
        total = point.pop("sum")
        point["mean"] = total / point["finite"] if point["finite"] else None
        found[f"{split}:{name}"].append(point)
    return found


def _split(keys: list[str]) -> list[tuple[str, ...]]:
    return [tuple(key.split(":", 1)) for key in keys if ":" in key]


def _last_step(session: Session, job_id: str, keys: list[str]) -> int | None:
    return session.scalar(
        select(func.max(MetricBucket.x1)).where(
            MetricBucket.job_id == job_id,
            MetricBucket.width == WIDTHS[-1],
            tuple_(MetricBucket.split, MetricBucket.name).in_(_split(keys)),
        )
    )


def last_steps(session: Session, job_id: str) -> dict[str, int]:
    """Return the last step of each split that the job has numbers of."""
    query = select(MetricBucket.split, func.max(MetricBucket.x1)).where(
        MetricBucket.job_id == job_id, MetricBucket.width == WIDTHS[-1]
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(MetricBucket.split))}


def _rows(width: int) -> Subquery:
    """Buckets of a width; a single step is a bucket of one."""
    if width > 1:
        return select(MetricBucket).where(MetricBucket.width == width).subquery()
    step, value = Metric.step, Metric.value
    of_one = [column.label(name) for name, column in zip(
        ("start", "x0", "x1", "min", "max", "sum", "last"), [step] * 3 + [value] * 4, strict=True
    )]  # fmt: skip
    finite = case((value.is_(None), 0), else_=1).label("finite")
    count = literal(1).label("count")
    return select(Metric.job_id, Metric.split, Metric.name, *of_one, finite, count).subquery()


def _sum(rows: Subquery) -> list[Any]:
    """The columns that merge a group of buckets into one."""
    # The value at the greatest x1, without sorting each group as an ordered aggregate would.
    newest = func.max(array([cast(rows.c.x1, DOUBLE_PRECISION), rows.c.last]))
    sums = {
        "x0": func.min(rows.c.x0),
        "x1": func.max(rows.c.x1),
        "min": func.min(rows.c.min),
        "max": func.max(rows.c.max),
        "sum": func.sum(rows.c.sum),
        "finite": func.sum(rows.c.finite),
        "count": func.sum(rows.c.count),
        "last": newest[2],
    }
    return [sums[fact].label(fact) for fact in FACTS]

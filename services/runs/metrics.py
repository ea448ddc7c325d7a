"""Numbers of a run by step, its held-out pairs and its sampled answers: writing and reading.

Rows are keyed by step; a higher generation replaces a lower one's, never the other way round.
Curves over many steps are read by `services.runs.series`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from math import isfinite
from typing import Any

import orjson
from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Session

from models import Metric, PairScore, Sample
from orpo.contract.numbers import PairRecord
from services.jobs import claims
from services.platform.pages import Order, walk
from services.runs import series

# Postgres accepts 65,535 parameters in one statement; the widest row here has eight.
ROWS_A_STATEMENT = 4000
NAMES_A_JOB = 200
# Each holds a prompt and its answers.
SAMPLES_AT_ONCE = 20
# Numbers come as four arrays; the array of places refers to the series in two more arrays.
UPSERT = text("""
    INSERT INTO metrics (job_id, split, name, step, generation, value, t)
    SELECT :job_id, series.split, series.name, point.step, :generation, point.value,
           to_timestamp(point.t)
    FROM unnest(
        CAST(:places AS int[]), CAST(:steps AS bigint[]), CAST(:values AS float8[]),
        CAST(:times AS float8[])
    ) AS point (place, step, value, t)
    JOIN unnest(CAST(:splits AS text[]), CAST(:names AS text[]))
        WITH ORDINALITY AS series (split, name, place) USING (place)
    ON CONFLICT (job_id, split, name, step) DO UPDATE
    SET generation = excluded.generation, value = excluded.value, t = excluded.t
    WHERE metrics.generation <= excluded.generation
""")


def write(
    session: Session,
    job_id: str,
    generation: int,
    records: Iterable[dict[str, Any]],
    known: set[str] | None = None,
) -> int:
    """Store lines of the journal's metrics (fenced). The last line of a step wins.

    A job has at most 200 series; returns how many numbers were left out because they would have
    begun another series. `known` holds the job's series as `split:name`, and new ones are added to
    it. A caller that writes often keeps it, which saves a query each time.
    """
    records = list(records)
    if not records:
        return 0
    claims.held(session, job_id, generation)
    known = set(series.keys_of(session, job_id)) if known is None else known
    points, left_out = _points(records, known)
    _store(session, job_id, generation, points)
    for split in sorted({record["split"] for record in records}):
        steps = [record["step"] for record in records if record["split"] == split]
        series.roll_up(session, job_id, split, min(steps), max(steps))
    return left_out


Points = dict[tuple[str, str], dict[int, tuple[float | None, float]]]


def _points(records: list[dict[str, Any]], known: set[str]) -> tuple[Points, int]:
    """Values and times of each series by step, and how many numbers were left out."""
    points: Points = {}
    left_out = 0
    for record in records:
        split, step, t = record["split"], record["step"], record["t"]
        for name, value in record["values"].items():
            one = points.get((split, name))
            if one is None:
                if f"{split}:{name}" not in known:
                    if len(known) >= NAMES_A_JOB:
                        left_out += 1
                        continue
                    known.add(f"{split}:{name}")
                one = points[split, name] = {}
            one[step] = (value if type(value) is float and isfinite(value) else _number(value), t)
    return points, left_out


def _number(value: Any) -> float | None:
    """A number as Postgres and JSON can both hold it: None for NaN, infinities and other things."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _store(session: Session, job_id: str, generation: int, points: Points) -> None:
    if not points:
        return
    places, steps, values, times = [], [], [], []
    for place, one in enumerate(points.values(), start=1):
        places += [place] * len(one)
        steps += one
        values += [value for value, _ in one.values()]
        times += [t for _, t in one.values()]
    numbers = {"places": places, "steps": steps, "values": values, "times": times}
    arrays = {name: _array(of) for name, of in numbers.items()}
    labels = {"splits": [split for split, _ in points], "names": [name for _, name in points]}
    session.execute(UPSERT, {"job_id": job_id, "generation": generation} | labels | arrays)


def _array(numbers: list[Any]) -> str:
    """Numbers as an array literal of Postgres: some 20 times faster than psycopg's conversion."""
    return f"{{{orjson.dumps(numbers)[1:-1].decode()}}}"


MEASURED = tuple(field.name for field in fields(PairRecord) if field.name != "line")


def write_pairs(
    session: Session, job_id: str, generation: int, records: Iterable[dict[str, Any]]
) -> None:
    """Store lines of the journal's pairs: each held-out pair's own numbers at a step (fenced)."""
    rows = {(r["step"], r["line"]): r for r in records}
    _upsert(session, PairScore, job_id, generation, list(rows.values()))


def write_samples(
    session: Session, job_id: str, generation: int, records: Iterable[dict[str, Any]]
) -> None:
    """Store lines of the journal's samples: answers to held-out prompts at a step (fenced)."""
    rows = {(r["step"], r["line"]): r for r in records}
    _upsert(session, Sample, job_id, generation, list(rows.values()))


def _upsert(
    session: Session,
    record: type[DeclarativeBase],
    job_id: str,
    generation: int,
    rows: list[dict[str, Any]],
) -> None:
    if not rows:
        return
    claims.held(session, job_id, generation)
    table = record.__table__
    keys = [column.name for column in table.primary_key]
    known = {column.name for column in table.columns}
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        values = [
            {k: v for k, v in row.items() if k in known}
            | {"job_id": job_id, "generation": generation}
            for row in rows[start : start + ROWS_A_STATEMENT]
        ]
        statement = insert(record).values(values)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=keys,
                set_={c: statement.excluded[c] for c in values[0] if c not in keys},
                where=table.c.generation <= statement.excluded.generation,
            )
        )


def after_step(
    session: Session, job_id: str, cursors: dict[str, int], limit: int = 5000
) -> list[dict[str, Any]]:
    """Return whole steps beyond each split's cursor, oldest first: {step, split, values}."""
    grouped: dict[tuple[int, str], dict[str, float | None]] = defaultdict(dict)
    for split, cursor in cursors.items():
        query = (
            select(Metric.step, Metric.name, Metric.value)
            .where(Metric.job_id == job_id, Metric.split == split, Metric.step > cursor)
            .order_by(Metric.step, Metric.name)
            .limit(limit)
        )
        rows = session.execute(query).all()
        # A limit may cut the last step in two: it comes whole with the next call.
        cut = rows[-1].step if len(rows) == limit else None
        for step, name, value in rows:
            if step != cut:
                grouped[step, split][name] = value
    return [
        {"step": step, "split": split, "values": values}
        for (step, split), values in sorted(grouped.items())
    ]


def at_steps(
    session: Session, job_id: str, split: str, names: list[str], steps: list[int]
) -> dict[int, dict[str, float | None]]:
    """Return the values of some series at some steps: {step: {name: value}}."""
    query = select(Metric.step, Metric.name, Metric.value).where(
        Metric.job_id == job_id,
        Metric.split == split,
        Metric.name.in_(names),
        Metric.step.in_(steps),
    )
    found: dict[int, dict[str, float | None]] = {step: {} for step in steps}
    for step, name, value in session.execute(query):
        found[step][name] = value
    return found


def pairs_before_after(
    session: Session, job_id: str, *, after_line: int = 0, limit: int = 10_000
) -> list[dict[str, Any]]:
    """Return held-out pairs by line, each with its first and its newest numbers, and one beyond the
    limit.
    """
    first, last = func.min(PairScore.step), func.max(PairScore.step)
    bounds = session.execute(select(first, last).where(PairScore.job_id == job_id)).one()
    scores: dict[int, dict[str, Any]] = {}
    query = select(PairScore).where(
        PairScore.job_id == job_id,
        PairScore.step.in_(list(bounds)),
        PairScore.line.in_(_lines(job_id, after_line, limit)),
    )
    for score in session.scalars(query.order_by(PairScore.line, PairScore.step)):
        side = {name: getattr(score, name) for name in MEASURED}
        pair = scores.setdefault(score.line, {"line": score.line, "before": side})
        pair["after"] = side
    return list(scores.values())


def _lines(job_id: str, after_line: int, limit: int) -> Select[int]:
    query = select(PairScore.line).where(PairScore.job_id == job_id, PairScore.line > after_line)
    return query.distinct().order_by(PairScore.line).limit(limit + 1)


def samples_of(
    session: Session, job_id: str, *, after: Sequence[int] | None = None, limit: int = 1000
) -> Iterator[Sample]:
    """Yield the sampled answers of a job by step and line, and one beyond the limit; `after` is the
    step and the line of the last one seen.
    """
    query = select(Sample).where(Sample.job_id == job_id)
    keys = (Sample.step, Sample.line)
    return walk(
        session, query, *keys, place=after, limit=limit, order=Order.ASC, at_once=SAMPLES_AT_ONCE
    )

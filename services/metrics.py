"""Numbers of a run by step, its held-out pairs and its sampled answers: writing and reading.

Rows are keyed by step; a higher generation replaces a lower one's, never the other way round.
Curves over many steps are read by `services.series`.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Session

from models import Metric, PairScore, Sample
from services import claims, series

# Postgres accepts 65,535 parameters in one statement; the widest row here has eight.
ROWS_A_STATEMENT = 4000
NAMES_A_JOB = 200


def write(
    session: Session, job_id: str, generation: int, records: Iterable[dict[str, Any]]
) -> None:
    """Store lines of `metrics.jsonl` (fenced). The last line of a step wins."""
    rows = {}
    for record in records:
        key = (record["split"], record["step"])
        t = datetime.fromtimestamp(record["t"], UTC)
        for name, value in list(record["values"].items())[:NAMES_A_JOB]:
            rows[*key, name] = {
                "split": key[0],
                "step": key[1],
                "name": name,
                "value": value,
                "t": t,
            }
    _upsert(session, Metric, job_id, generation, list(rows.values()))
    for split in sorted({split for split, _, _ in rows}):
        steps = [step for owner, step, _ in rows if owner == split]
        series.roll_up(session, job_id, split, min(steps), max(steps))


def write_pairs(
    session: Session, job_id: str, generation: int, records: Iterable[dict[str, Any]]
) -> None:
    """Store lines of `pairs.jsonl`: each held-out pair's own numbers at a step (fenced)."""
    rows = {(r["step"], r["line"]): r for r in records}
    _upsert(session, PairScore, job_id, generation, list(rows.values()))


def write_samples(
    session: Session, job_id: str, generation: int, records: Iterable[dict[str, Any]]
) -> None:
    """Store lines of `samples.jsonl`: answers to held-out prompts at a step (fenced)."""
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
    # A crash may lose the last numbers of a curve; the resumed run writes them anew.
    session.execute(text("SET LOCAL synchronous_commit = off"))
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


def pairs_before_after(session: Session, job_id: str) -> list[dict[str, Any]]:
    """Return each held-out pair with its first and its newest numbers."""
    first, last = func.min(PairScore.step), func.max(PairScore.step)
    bounds = session.execute(select(first, last).where(PairScore.job_id == job_id)).one()
    scores: dict[int, dict[str, Any]] = {}
    query = select(PairScore).where(PairScore.job_id == job_id, PairScore.step.in_(list(bounds)))
    for score in session.scalars(query.order_by(PairScore.line, PairScore.step)):
        side = {
            name: getattr(score, name)
            for name in ("step", "log_odds_ratio", "logps_chosen", "logps_rejected", "nll")
        }
        pair = scores.setdefault(score.line, {"line": score.line, "before": side})
        pair["after"] = side
    return list(scores.values())


def samples_of(session: Session, job_id: str) -> list[Sample]:
    """Return the sampled answers of a job by step and line."""
    query = select(Sample).where(Sample.job_id == job_id).order_by(Sample.step, Sample.line)
    return list(session.scalars(query))

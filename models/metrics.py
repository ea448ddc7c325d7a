"""What a run measured: series of numbers, held-out pairs one by one, sampled answers.

A higher generation replaces a lower one's rows at the same key.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Metric(Base):
    __tablename__ = "metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int]
    # NULL if the run wrote a number that is not finite: it is shown as a gap, not as zero.
    value: Mapped[float | None] = mapped_column(Double)
    t: Mapped[datetime]


class MetricBucket(Base):
    """A summary of `width` steps of a series, so that a long curve is read in few rows."""

    __tablename__ = "metric_buckets"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    width: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    split: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    # A multiple of `width`; x0 and x1 are the first and last step that has a row.
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    x0: Mapped[int]
    x1: Mapped[int]
    min: Mapped[float | None] = mapped_column(Double)
    max: Mapped[float | None] = mapped_column(Double)
    # The sum of the finite values. `finite` is their number, `count` the number of all values.
    sum: Mapped[float | None] = mapped_column(Double)
    finite: Mapped[int] = mapped_column(Integer)
    count: Mapped[int] = mapped_column(Integer)
    last: Mapped[float | None] = mapped_column(Double)


class PairScore(Base):
    __tablename__ = "pair_scores"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int]
    log_odds_ratio: Mapped[float | None] = mapped_column(Double)
    logps_chosen: Mapped[float | None] = mapped_column(Double)
    logps_rejected: Mapped[float | None] = mapped_column(Double)
    nll: Mapped[float | None] = mapped_column(Double)


class Sample(Base):
    __tablename__ = "samples"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int]
    prompt: Mapped[list[Any]]
    answer: Mapped[str]
    chosen: Mapped[str]
    rejected: Mapped[str | None]

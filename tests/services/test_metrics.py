"""Numbers of a run: fenced writing, replacing by generation, reading in buckets and deltas."""

import pytest

from models.jobs import JobState
from services import claims, metrics
from services.errors import Fenced
from tests import records


def line(step, split="train", **values):
    return {"step": step, "t": 1_700_000_000 + step, "split": split, "values": values}


@pytest.fixture
def job(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    return job


def test_a_bucket_keeps_the_spike(session, job):
    values = [0.0] * 1000
    values[617] = 9.0
    metrics.write(session, job.id, 1, [line(i + 1, loss=v) for i, v in enumerate(values)])
    points = metrics.series(session, job.id, ["train:loss"], buckets=10)["train:loss"]
    assert len(points) == 10
    assert max(point["max"] for point in points) == 9.0
    assert sum(point["count"] for point in points) == 1000
    assert points[0]["x0"] == 1
    assert points[-1]["x1"] == 1000


def test_the_last_value_of_a_bucket_is_that_of_its_last_step(session, job):
    metrics.write(session, job.id, 1, [line(i, loss=float(i)) for i in (3, 1, 2)])
    (point,) = metrics.series(session, job.id, ["train:loss"], buckets=1)["train:loss"]
    assert (point["last"], point["min"], point["mean"]) == (3.0, 1.0, 2.0)


def test_a_newer_generation_replaces_and_an_older_one_is_refused(session, job):
    metrics.write(session, job.id, 1, [line(1, loss=1.0), line(2, loss=2.0)])
    claims.release(session, job.id, 1)
    claims.claim_next(session, "v")
    metrics.write(session, job.id, 2, [line(2, loss=5.0)])
    with pytest.raises(Fenced):
        metrics.write(session, job.id, 1, [line(2, loss=7.0)])
    points = metrics.series(session, job.id, ["train:loss"])["train:loss"]
    assert [point["last"] for point in points] == [1.0, 5.0]


def test_what_is_not_a_number_is_a_gap(session, job):
    metrics.write(session, job.id, 1, [line(1, loss=None), line(2, loss=2.0)])
    points = metrics.series(session, job.id, ["train:loss"])["train:loss"]
    assert [point["last"] for point in points] == [None, 2.0]


def test_deltas_come_in_whole_steps(session, job):
    metrics.write(session, job.id, 1, [line(s, a=1.0, b=2.0) for s in range(1, 6)])
    metrics.write(session, job.id, 1, [line(5, "held_out", accuracy=0.5)])
    first = metrics.after_step(session, job.id, {"train": 0, "held_out": -1}, limit=5)
    assert [(s["step"], s["split"]) for s in first] == [
        (1, "train"), (2, "train"), (5, "held_out")
    ]  # fmt: skip
    rest = metrics.after_step(session, job.id, {"train": 2, "held_out": 5})
    assert [s["step"] for s in rest] == [3, 4, 5]
    assert rest[0]["values"] == {"a": 1.0, "b": 2.0}


def test_pairs_are_shown_before_and_after(session, job):
    rows = [{"step": s, "line": 7, "log_odds_ratio": float(s)} for s in (0, 4, 8)]
    metrics.write_pairs(session, job.id, 1, rows)
    (pair,) = metrics.pairs_before_after(session, job.id)
    assert (pair["before"]["log_odds_ratio"], pair["after"]["log_odds_ratio"]) == (0.0, 8.0)


def test_an_unknown_series_is_empty(session, job):
    assert metrics.series(session, job.id, ["train:nothing"]) == {"train:nothing": []}
    assert metrics.series(session, job.id, ["nonsense"]) == {}

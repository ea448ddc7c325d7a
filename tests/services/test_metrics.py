"""Metrics of a run: fenced writes, replacement by generation, reads in buckets and deltas."""

import random

import pytest

from models.jobs import JobState
from services.jobs import claims
from services.platform.errors import Fenced
from services.runs import metrics, series
from tests import records


def line(step, split="train", **values):
    return {"step": step, "t": 1_700_000_000 + step, "split": split, "values": values}


def read(session, job_id, **options):
    return dict(series.read(session, job_id, ["train:loss"], **options))["train:loss"]


@pytest.fixture
def job(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    return job


def test_a_bucket_keeps_the_spike(session, job):
    values = [0.0] * 1000
    values[617] = 9.0
    metrics.write(session, job.id, 1, [line(i + 1, loss=v) for i, v in enumerate(values)])
    points = read(session, job.id, buckets=10)
    assert len(points) == 10
    assert max(point["max"] for point in points) == 9.0
    assert sum(point["count"] for point in points) == 1000
    assert points[0]["x0"] == 1
    assert points[-1]["x1"] == 1000


def test_the_last_value_of_a_bucket_is_that_of_its_last_step(session, job):
    metrics.write(session, job.id, 1, [line(i, loss=float(i)) for i in (3, 1, 2)])
    (point,) = read(session, job.id, buckets=1)
    assert (point["last"], point["min"], point["mean"]) == (3.0, 1.0, 2.0)


def test_a_newer_generation_replaces_and_an_older_one_is_refused(session, job):
    metrics.write(session, job.id, 1, [line(1, loss=1.0), line(2, loss=2.0)])
    claims.release(session, job.id, 1)
    claims.claim_next(session, "v")
    metrics.write(session, job.id, 2, [line(2, loss=5.0)])
    with pytest.raises(Fenced):
        metrics.write(session, job.id, 1, [line(2, loss=7.0)])
    points = read(session, job.id)
    assert [point["last"] for point in points] == [1.0, 5.0]


def test_what_is_not_a_number_is_a_gap(session, job):
    metrics.write(session, job.id, 1, [line(1, loss=None), line(2, loss=2.0)])
    points = read(session, job.id)
    assert [point["last"] for point in points] == [None, 2.0]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 10**400, "a word"])
def test_what_no_chart_can_show_is_a_gap(session, job, odd):
    metrics.write(session, job.id, 1, [line(1, "train", loss=odd), line(2, "train", loss=2)])
    points = read(session, job.id)
    assert [point["last"] for point in points] == [None, 2.0]


def test_a_job_has_at_most_so_many_series_whatever_it_writes(session, job):
    most = metrics.NAMES_A_JOB
    lines = [line(step, "train", **{f"name/{step}": 1.0}) for step in range(most - 1)]
    assert metrics.write(session, job.id, 1, lines) == 0
    wide = line(1, "train", **{f"other/{place}": 1.0 for place in range(10)})
    assert metrics.write(session, job.id, 1, [wide]) == 9
    known = set(series.keys_of(session, job.id))
    assert len(known) == most
    held_out = line(2, "held_out", **{"name/1": 1.0})
    assert metrics.write(session, job.id, 1, [held_out], known) == 1
    assert metrics.write(session, job.id, 1, [line(2, "train", **{"name/1": 1.0})], known) == 0
    assert len(series.keys_of(session, job.id)) == most


def test_names_are_stored_as_they_were_written(session, job):
    names = ["a b", 'c"d', "e,f", "{g}", "h\\i", "ü", "NULL", ""]
    metrics.write(session, job.id, 1, [line(1, "train", **dict.fromkeys(names, 1.0))])
    assert series.keys_of(session, job.id) == sorted(f"train:{name}" for name in names)


def test_a_bucket_tells_how_many_of_its_values_are_numbers(session, job):
    values = [None if step == 70 else 1.0 for step in range(100)]
    metrics.write(session, job.id, 1, [line(i, loss=v) for i, v in enumerate(values)])
    points = read(session, job.id, buckets=2)
    assert sum(point["count"] for point in points) == 100
    assert [point["count"] - point["finite"] for point in points] == [0, 1]
    assert [point["mean"] for point in points] == [1.0, 1.0]


@pytest.mark.parametrize("seed", range(2))
def test_buckets_say_what_the_steps_say(session, job, seed):
    """Write steps in any order and any batches, rewrite some, and read any range."""
    dice = random.Random(seed)
    known = {}
    for _ in range(40):
        first = dice.randrange(9000)
        steps = range(first, first + dice.randrange(1, 400), dice.randrange(1, 4))
        batch = {s: dice.choice([None, dice.uniform(-5, 5), dice.uniform(-5, 5)]) for s in steps}
        metrics.write(session, job.id, 1, [line(s, loss=v) for s, v in batch.items()])
        known |= batch
    assert series.keys_of(session, job.id) == ["train:loss"]
    for _ in range(40):
        x0 = dice.randrange(9000)
        x1 = x0 + dice.randrange(1, 9000)
        buckets = dice.choice([1, 2, 7, 40, 800])
        points = read(session, job.id, x0=x0, x1=x1, buckets=buckets)
        assert len(points) <= buckets
        steps = sorted(known)
        if not points:
            assert not [step for step in steps if x0 <= step <= x1]
            continue
        width = -(-(min(x1, steps[-1]) - x0 + 1) // buckets)
        slack = width if width >= 16 else 0
        assert x0 - slack <= points[0]["x0"]
        assert points[-1]["x1"] <= x1 + slack
        assert not [step for step in steps if x0 <= step < points[0]["x0"]]
        assert not [step for step in steps if points[-1]["x1"] < step <= x1]
        for point in points:
            inside = [step for step in steps if point["x0"] <= step <= point["x1"]]
            values = [known[step] for step in inside if known[step] is not None]
            assert (point["x0"], point["x1"]) == (inside[0], inside[-1])
            assert (point["count"], point["finite"]) == (len(inside), len(values))
            assert point["last"] == known[inside[-1]]
            assert point["min"] == min(values, default=None)
            assert point["max"] == max(values, default=None)
            assert point["mean"] == (pytest.approx(sum(values) / len(values)) if values else None)
        assert sum(point["count"] for point in points) == len(
            [step for step in steps if points[0]["x0"] <= step <= points[-1]["x1"]]
        )


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
    for key in ("train:nothing", "nonsense"):
        assert list(series.read(session, job.id, [key])) == [(key, [])]

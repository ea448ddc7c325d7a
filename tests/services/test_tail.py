"""A run's files on their way into Postgres: whole, in order, and whatever a line holds."""

import json

import pytest
from sqlalchemy import func, select

from models import Metric, PairScore, Sample
from models.jobs import JobState
from services import claims, metrics
from tests import records
from workers import tail

FINISHED = {"type": "finished", "message": "Done.", "data": {}}
PAD = "x" * 100_000


@pytest.fixture
def run(product, session, caller, tmp_path):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    session.commit()
    return tail.RunTail(tmp_path, job.id, 1)


def write(run, name, *lines):
    with (run.run_dir / f"{name}.jsonl").open("a") as file:
        file.writelines(
            line if isinstance(line, str) else f"{json.dumps(line)}\n" for line in lines
        )


def number(step, **fields):
    return {"step": step, "t": 1.0, "split": "train", "values": {"loss": 1.0}, **fields}


def pair(line):
    return {"step": 0, "line": line, "log_odds_ratio": 0.0}


def sample(line, answer="a"):
    return {"step": 0, "line": line, "prompt": [], "answer": answer, "chosen": "c", "rejected": "r"}


@pytest.mark.parametrize(
    ("name", "record", "lines"),
    [
        ("metrics", Metric, [number(step, pad=PAD) for step in range(30)]),
        ("pairs", PairScore, [pair(line) for line in range(2001)]),
        ("samples", Sample, [sample(line, PAD) for line in range(30)]),
    ],
)
def test_the_end_is_told_after_everything_before_it(run, session, name, record, lines):
    write(run, name, *lines)
    write(run, "events", FINISHED)
    assert run.flush()
    assert run.outcome is None
    run.drain()
    assert run.outcome == FINISHED
    assert session.scalar(select(func.count()).select_from(record)) == len(lines)


def test_a_batch_of_unreadable_lines_is_passed_over(run):
    write(run, "metrics", *["?\n"] * tail.LINES_A_BATCH, number(1))
    run.drain()
    assert run.progress["step"] == 1


def test_a_torn_last_line_does_not_hold_back_the_end(run):
    write(run, "metrics", number(1), '{"step": 2')
    write(run, "events", FINISHED)
    run.drain()
    assert run.outcome == FINISHED
    assert not run.flush()


def test_what_postgres_can_t_store_is_replaced(run, session):
    prompt = [{"role": "user", "content": "p\0"}]
    write(run, "samples", {**sample(1, "a\0b \ud83d"), "prompt": prompt})
    write(run, "events", {**FINISHED, "message": "It said \0."})
    run.drain()
    (stored,) = metrics.samples_of(session, run.job_id)
    assert stored.answer == "a\ufffdb \ufffd"
    assert stored.prompt == [{"role": "user", "content": "p\ufffd"}]

"""A run's files are stored in Postgres completely and in order, with any content."""

import json

import pytest
from sqlalchemy import func, select

from models import JobEvent, Metric, PairScore, Sample
from models.jobs import JobState
from services.jobs import claims
from services.runs import follow, job_events, metrics, series
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
    write(run, "metrics", *["?\n"] * follow.LINES_A_BATCH, number(1))
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


def test_a_record_that_no_list_could_show_is_cut(run, session):
    write(run, "samples", {**sample(1, "a" * 500_000)})
    write(run, "events", {**FINISHED, "message": "It said \u00fc." * 50_000})
    run.drain()
    (stored,) = metrics.samples_of(session, run.job_id)
    assert stored.answer.startswith("aaa")
    assert stored.answer.endswith("more characters]")
    assert len(stored.answer) < 2**17
    assert all(len(e.message) < 2**17 for e in job_events.since(session, run.job_id, 0))


def stored(session, split="train"):
    query = select(func.count()).select_from(Metric).where(Metric.split == split)
    return session.scalar(query)


def warnings(session):
    """The reasons for left-out numbers in the job's events, in order."""
    told = session.scalars(select(JobEvent).where(JobEvent.level == "warn").order_by(JobEvent.seq))
    return [event.data["reason"] for event in told]


def test_nan_and_infinities_are_gaps_as_they_stand_in_the_file(run, session):
    odd = ["NaN", "Infinity", "-Infinity", "1e999"]
    lines = [
        f'{{"step": {step}, "t": 1.0, "split": "train", "values": {{"loss": {value}}}}}\n'
        for step, value in enumerate([*odd, "2.5"])
    ]
    write(run, "metrics", *lines)
    run.drain()
    points = dict(series.read(session, run.job_id, ["train:loss"]))["train:loss"]
    assert [point["last"] for point in points] == [None, None, None, None, 2.5]


def test_ten_thousand_names_are_cut_and_the_job_says_so_once(run, session):
    for start in range(0, 10_000, 100):
        names = {f"name/{place}": 1.0 for place in range(start, start + 100)}
        write(run, "metrics", number(start, values=names))
        run.flush()
    assert stored(session) == metrics.NAMES_A_JOB
    assert run.progress["left_out"] == {"too_many_names": 10_000 - metrics.NAMES_A_JOB}
    assert warnings(session) == ["too_many_names"]


def test_a_later_generation_counts_the_names_that_there_were(run, session, tmp_path):
    names = {f"name/{place}": 1.0 for place in range(metrics.NAMES_A_JOB)}
    write(run, "metrics", number(1, values=names))
    run.drain()
    claims.release(session, run.job_id, 1)
    claims.claim_next(session, "w")
    session.commit()
    later = tail.RunTail(tmp_path / "g2", run.job_id, 2)
    later.run_dir.mkdir()
    write(later, "metrics", number(2, values={"name/0": 1.0, "another": 1.0}))
    later.drain()
    assert stored(session) == metrics.NAMES_A_JOB + 1
    assert later.left_out == {tail.LeftOut.TOO_MANY_NAMES: 1}


def test_a_run_that_is_too_far_ahead_is_thinned_until_it_is_caught_up_with(
    run, session, monkeypatch
):
    monkeypatch.setattr(tail, "MOST_BEHIND_BYTES", 100_000)
    monkeypatch.setattr(follow, "LINES_A_BATCH", 100)
    write(run, "metrics", *[number(step) for step in range(5000)])
    write(run, "metrics", *[number(step, split="held_out") for step in range(0, 5000, 50)])
    write(run, "events", FINISHED)
    run.drain()
    assert stored(session, "held_out") == 100
    assert stored(session) == 5000 / tail.KEPT_ONE_IN
    assert run.left_out == {tail.LeftOut.TOO_FAST: 5000 - stored(session)}
    assert warnings(session) == ["too_fast"]
    assert run.outcome == FINISHED
    write(run, "metrics", *[number(step) for step in range(5000, 5100)])
    run.drain()
    assert stored(session) == 5000 / tail.KEPT_ONE_IN + 100


def test_an_event_of_a_newer_release_is_named(run):
    write(run, "events", {"type": "merged", "message": "Merged.", "data": {}})
    with pytest.raises(follow.UnknownEventError, match=r"events\.jsonl .* type 'merged'"):
        run.flush()


def test_a_level_of_an_older_release_is_a_warning(run, session):
    """The core once wrote `warning`; the API's level is `warn`."""
    event = {"type": "unshared", "message": "Each alone.", "level": "warning", "data": {}}
    write(run, "events", event)
    run.flush()
    assert session.scalars(select(JobEvent.level).order_by(JobEvent.seq)).all()[-1] == "warn"

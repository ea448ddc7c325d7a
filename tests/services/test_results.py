"""The table of results of a finished job."""

import time

from sqlalchemy import text

from models import Job
from models.jobs import JobState
from services.jobs import claims
from services.runs import metrics, results
from tests import records


def test_the_table_has_a_row_a_step_and_a_column_a_name(session, caller):
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    lines = [
        {"step": 2, "t": 0.0, "split": "train", "values": {"loss": 1.5, "lr": 0.1}},
        {"step": 10, "t": 0.0, "split": "train", "values": {"loss": None, "lr": 0.2}},
        {"step": 2, "t": 0.0, "split": "held_out", "values": {"accuracy": 0.5}},
    ]
    metrics.write(session, job.id, 1, lines)
    table = b"".join(results.metrics_csv(session, job)).decode().splitlines()
    assert table == [
        "step,split,accuracy,loss,lr",
        "2,train,,1.5,0.1",
        "2,held_out,0.5,,",
        "10,train,,,0.2",
    ]


def test_a_table_that_takes_longer_than_a_lease_still_ends_its_job(
    product, settings_from, session, caller, monkeypatch
):
    settings_from(lease_s=30, heartbeat_s=0.001)
    job = records.job(session, caller, JobState.QUEUED)
    claims.claim_next(session, "w")
    claims.finalize(session, job.id, 1)
    session.commit()

    def slowly(*_):
        for _ in range(3):
            time.sleep(0.002)
            session.execute(
                text("UPDATE jobs SET lease_until = lease_until - interval '25 s' WHERE id = :i"),
                {"i": job.id},
            )
            yield b"1\n"

    monkeypatch.setattr(results, "metrics_csv", slowly)
    results.register(session, job.id, 1)
    session.commit()
    assert session.get_one(Job, job.id).state == JobState.SUCCEEDED

"""The table that a finished job leaves."""

from models.jobs import JobState
from services import claims, metrics, results
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

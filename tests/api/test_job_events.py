"""The events of a job: stored messages, and its steps in OpenAI's format."""

import time
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.runs import job_events, metrics
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


@pytest.fixture
def job_id(product: None) -> str:
    """A job that a worker holds, with 20 steps to go."""
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED, prepared={"steps": 20})
        claims.claim_next(session, "w")
        claims.start(session, job.id, 1)
    return job.id


def train(job_id: str, *steps: int, generation: int = 1, loss: float | None = 1.5) -> None:
    lines = [
        {"step": step, "t": time.time(), "split": "train", "values": {"loss": loss, "lr": 1e-4}}
        for step in steps
    ]
    with transaction() as session:
        metrics.write(session, job_id, generation, lines)


def say(job_id: str, message: str, generation: int = 1) -> None:
    with transaction() as session:
        job_events.record(session, job_id, generation, message=message)


def listed(client: TestClient, job_id: str, **query: Any) -> list[dict[str, Any]]:
    return client.get(f"/v1/fine_tuning/jobs/{job_id}/events", params=query).json()["data"]


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_openai_s_client_reads_each_step(openai_client: openai.OpenAI, job_id: str) -> None:
    train(job_id, 1, 2)
    found = openai_client.fine_tuning.jobs.list_events(job_id).data
    steps = [event for event in found if event.type == "metrics"]
    assert [event.message for event in steps] == [
        "Step 2/20: training loss=1.5",
        "Step 1/20: training loss=1.5",
    ]
    assert steps[0].data == {
        "step": 2, "total_steps": 20, "train_loss": 1.5, "loss": 1.5, "lr": 1e-4,
    }  # fmt: skip
    assert steps[0].level == "info"
    assert steps[0].object == "fine_tuning.job.event"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_of_any_size_hold_each_event_once_in_its_place(
    openai_client: openai.OpenAI, job_id: str, size: int
) -> None:
    say(job_id, "Before all.")
    train(job_id, 1, 2, 3)
    say(job_id, "Measured.")
    say(job_id, "Saved.")
    train(job_id, 4, 5)
    found = list(openai_client.fine_tuning.jobs.list_events(job_id, limit=size))
    assert [event.message.partition(":")[0] for event in found][:8] == [
        "Step 5/20", "Step 4/20", "Saved.", "Measured.", "Step 3/20", "Step 2/20", "Step 1/20",
        "Before all.",
    ]  # fmt: skip
    assert len({event.id for event in found}) == len(found)
    moments = [event.created_at for event in found]
    assert moments == sorted(moments, reverse=True)


def test_a_step_that_a_resumed_run_repeats_is_one_event(client: TestClient, job_id: str) -> None:
    train(job_id, 1, 2)
    ids = [event["id"] for event in listed(client, job_id, type="metrics")]
    with transaction() as session:
        claims.release(session, job_id, 1)
        claims.claim_next(session, "w")
        claims.start(session, job_id, 2)
    say(job_id, "Resumed.", generation=2)
    train(job_id, 2, generation=2, loss=0.5)
    found = listed(client, job_id)
    assert messages(found)[:2] == ["Step 2/20: training loss=0.5", "Resumed."]
    assert [event["id"] for event in found if event["type"] == "metrics"] == ids


@pytest.mark.parametrize(("total", "sent"), [(200, 200), (201, 101), (399, 200), (1999, 200)])
def test_a_long_run_tells_few_steps_and_the_last(
    client: TestClient, job_id: str, total: int, sent: int
) -> None:
    with transaction() as session:
        claims.held(session, job_id, 1).prepared = {"steps": total}
    train(job_id, *range(1, total + 1))
    found = listed(client, job_id, type="metrics", limit=1000)
    assert len(found) == sent
    assert found[0]["data"]["step"] == total


def test_one_type_alone_can_be_asked_for(client: TestClient, job_id: str) -> None:
    say(job_id, "Saved.")
    train(job_id, 1)
    assert messages(listed(client, job_id, type="metrics")) == ["Step 1/20: training loss=1.5"]
    assert messages(listed(client, job_id, type="message"))[0] == "Saved."
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    assert client.get(path, params={"type": "numbers"}).json()["error"]["param"] == "type"


def test_a_loss_that_is_no_number_is_said_so(client: TestClient, job_id: str) -> None:
    train(job_id, 1, loss=None)
    (step,) = listed(client, job_id, type="metrics")
    assert step["message"] == "Step 1/20: training loss=NaN or infinite"
    assert step["data"]["train_loss"] is None


@pytest.mark.parametrize(
    "after", ["ftevent-²", "ftevent-0", "ftevent-other-1", "ftevent-{}-99", "x"]
)
def test_an_event_that_never_was_is_before_all(client: TestClient, job_id: str, after: str) -> None:
    train(job_id, 1)
    place = after.format(job_id.removeprefix("ftjob-"))
    assert listed(client, job_id, after=place) == []


def test_the_series_say_where_the_stream_goes_on(client: TestClient, job_id: str) -> None:
    train(job_id, 1, 2)
    with transaction() as session:
        line = {"step": 2, "t": 0.0, "split": "held_out", "values": {"loss": 1.0}}
        metrics.write(session, job_id, 1, [line])
    path = f"/v1/fine_tuning/jobs/{job_id}"
    # The cursor is the same even if the answer is filtered.
    cursor = client.get(f"{path}/series", params={"keys": "train:lr", "x1": 1}).json()["cursor"]
    say(job_id, "Saved.")
    train(job_id, 3)
    with transaction() as session:
        claims.fail(session, job_id, 1, {"code": "x", "message": "Broken.", "param": None})
    sent = client.get(f"{path}/stream", headers={"Last-Event-ID": cursor}).text
    assert sent.count("event: metrics\n") == 1
    assert '"step":3' in sent
    first = sent.index("event: event\n")
    assert "Saved." in sent[first:].split("\n\n")[0]

"""Names, tags, notes and archiving of runs, and what a list of runs says of their results."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import AuditEntry, Job
from models.jobs import JobState
from services.access import api_keys
from services.access.callers import Caller, Scope
from services.files import seed
from services.jobs import claims, labels
from services.platform.database import transaction
from services.runs import metrics
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def job_id(product: None) -> str:
    with transaction() as session:
        return records.job(session, CALLER, suffix="short").id


def edited(client: TestClient, job_id: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{JOBS}/{job_id}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(client: TestClient, **query: Any) -> list[str]:
    answer = client.get(JOBS, params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


def paged(client: TestClient, **query: Any) -> list[str]:
    """The ids of a whole list, read two at a time."""
    found: list[str] = []
    has_more = True
    while has_more:
        here = query | {"limit": 2} | ({"after": found[-1]} if found else {})
        page = client.get(JOBS, params=here).json()
        found += [job["id"] for job in page["data"]]
        has_more = page["has_more"]
    return found


def test_only_the_fields_that_are_sent_change(client: TestClient, job_id: str) -> None:
    first = client.get(f"{JOBS}/{job_id}").json()
    assert (first["name"], first["tags"], first["notes"], first["archived"]) == (
        "short", [], "", False,
    )  # fmt: skip
    edited(client, job_id, name="  Short answers, λ 0.2 ", tags=["Abl", "b2", "abl"])
    job = edited(client, job_id, notes="Line one.\n<b>Two</b>")
    labels_of_it = {"name": "Short answers, λ 0.2", "tags": ["abl", "b2"]}
    assert job == first | labels_of_it | {"notes": "Line one.\n<b>Two</b>"}
    # Without a name of its own the run has its suffix again.
    assert edited(client, job_id, name=None)["name"] == "short"
    assert edited(client, job_id)["tags"] == ["abl", "b2"]


@pytest.mark.parametrize(
    ("body", "param", "word"),
    [
        ({"name": ""}, "name", "one line"),
        ({"name": "  "}, "name", "one line"),
        ({"name": "a\nb"}, "name", "one line"),
        ({"name": "x" * 65}, "name", "64"),
        ({"name": 3}, "name", "text"),
        ({"tags": ["two words"]}, "tags", "'two words'"),
        ({"tags": [""]}, "tags", "''"),
        ({"tags": ["x" * 33]}, "tags", "32"),
        ({"tags": [f"t{n}" for n in range(17)]}, "tags", "not 17"),
        ({"tags": None}, "tags", "list"),
        ({"tags": [1]}, "tags.0", "text"),
        ({"notes": "x" * 4001}, "notes", "4000"),
        ({"notes": "\0"}, "notes", ""),
        ({"notes": None}, "notes", "text"),
        ({"archived": "yes"}, "archived", "true or false"),
        ({"title": "x"}, "title", ""),
    ],
)
def test_what_can_not_be_stored_is_refused(
    client: TestClient, job_id: str, body: dict[str, Any], param: str, word: str
) -> None:
    answer = client.post(f"{JOBS}/{job_id}", json={"tags": ["kept-out"], **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert word in error["message"]
    assert client.get(f"{JOBS}/{job_id}").json()["tags"] == []


def test_all_that_is_wrong_is_said_at_once(client: TestClient, job_id: str) -> None:
    answer = client.post(f"{JOBS}/{job_id}", json={"name": "", "tags": ["?"]})
    assert [each["param"] for each in answer.json()["error"]["errors"]] == ["name", "tags"]


def test_each_edit_leaves_an_entry_in_the_audit_log(client: TestClient, job_id: str) -> None:
    edited(client, job_id, name="short")
    edited(client, job_id, name="short", notes="secret?", archived=True)
    edited(client, job_id)
    with transaction() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.at)).all()
        said = [(each.action, each.object_id, each.details) for each in entries]
    assert said == [
        ("edited", job_id, {"name": "short"}),
        ("edited", job_id, {"archived": True, "notes_characters": 7}),
    ]


def test_two_edits_of_different_fields_both_hold(product: None, job_id: str) -> None:
    """Each tab has read the run before the other one wrote."""
    with transaction() as one:
        read = one.get_one(Job, job_id)
        with transaction() as other:
            labels.edit(other, CALLER, job_id, {"name": "of the other tab", "notes": "n"})
        assert read.name is None
        labels.edit(one, CALLER, job_id, {"tags": ["mine"], "notes": "the later one"})
    with transaction() as session:
        job = session.get_one(Job, job_id)
        assert (job.name, job.tags, job.notes) == ("of the other tab", ["mine"], "the later one")


def test_an_archived_run_is_listed_only_if_asked_for(client: TestClient) -> None:
    with transaction() as session:
        made = [records.job(session, CALLER, archived=n % 2 == 1).id for n in range(6)]
    newest_first = made[::-1]
    shown, archived = newest_first[1::2], newest_first[::2]
    assert ids(client) == shown
    assert ids(client, archived="true") == archived
    assert ids(client, archived="all") == newest_first
    # A page may begin after a run that the list leaves out, since it may have been archived since.
    assert ids(client, limit=1, after=archived[1]) == [shown[1]]
    for which in ("false", "true", "all"):
        assert paged(client, archived=which) == ids(client, archived=which)
    assert client.get(JOBS, params={"archived": "yes"}).json()["error"]["param"] == "archived"


def test_an_archived_run_stays_open_and_can_be_used(client: TestClient) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        file_id = job.training_file
    assert edited(client, job.id, archived=True)["archived"] is True
    assert client.get(f"{JOBS}/{job.id}").json()["status"] == "queued"
    with transaction() as session:
        assert claims.claim_next(session, "w") is not None
    assert ids(client, file=file_id) == []
    assert ids(client, file=file_id, archived="all") == [job.id]
    assert client.delete(f"/v1/files/{file_id}").status_code == 409
    edited(client, job.id, archived=False)
    assert ids(client) == [job.id]


def test_runs_are_listed_by_tags(client: TestClient) -> None:
    with transaction() as session:
        both = records.job(session, CALLER, tags=["abl", "b2"]).id
        one = records.job(session, CALLER, tags=["abl"]).id
        records.job(session, CALLER, tags=["ablation"])
    assert ids(client, tag="ABL") == [one, both]
    assert ids(client, tag=["abl", "b2"]) == [both]
    assert ids(client, tag="none") == []


def test_a_run_of_another_organisation_is_not_found(client: TestClient) -> None:
    with transaction() as session:
        theirs = records.job(session, records.caller(session, "stranger")).id
        estimate = records.job(session, CALLER, purpose="estimate").id
    for job_id in (theirs, estimate, "ftjob-no"):
        answer = client.post(f"{JOBS}/{job_id}", json={"name": "mine"})
        assert answer.status_code == 404
    with transaction() as session:
        assert session.get_one(Job, theirs).name is None


def test_a_key_that_only_reads_is_refused(client: TestClient, job_id: str) -> None:
    with transaction() as session:
        _, text = api_keys.create(session, CALLER, "reader", [Scope.READ])
    answer = client.post(
        f"{JOBS}/{job_id}", json={"name": "x"}, headers={"Authorization": f"Bearer {text}"}
    )
    assert answer.status_code == 403
    assert client.get(f"{JOBS}/{job_id}").json()["name"] == "short"


def test_what_a_run_reached_on_its_held_out_pairs(client: TestClient) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        unmeasured = records.job(session, CALLER)
        claims.claim_next(session, "w")
        at = {0: (0.4, -0.5), 10: (0.6, None), 20: (0.8, 0.25)}
        metrics.write(
            session, job.id, 1,
            [
                {
                    "step": step, "t": 0.0, "split": "held_out",
                    "values": {"accuracy": accuracy, "accuracy/low": 0.1, "log_odds_ratio": ratio},
                }
                for step, (accuracy, ratio) in at.items()
            ] + [{"step": 30, "t": 0.0, "split": "train", "values": {"accuracy": 1.0}}],
        )  # fmt: skip
    unknown = {"accuracy_high": None, "reward_margin": None, "accuracy_low": 0.1}
    expected = {
        "before": {"step": 0, "accuracy": 0.4, "log_odds_ratio": -0.5} | unknown,
        "after": {"step": 20, "accuracy": 0.8, "log_odds_ratio": 0.25} | unknown,
    }
    listed = {each["id"]: each["outcome"] for each in client.get(JOBS).json()["data"]}
    assert listed == {job.id: expected, unmeasured.id: None}
    assert client.get(f"{JOBS}/{job.id}").json()["outcome"] == expected
    assert edited(client, job.id, name="measured")["outcome"] == expected


def test_a_last_number_that_is_none_is_passed_over(client: TestClient) -> None:
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        claims.claim_next(session, "w")
        lines = [
            {"step": step, "t": 0.0, "split": "held_out", "values": {"accuracy": value}}
            for step, value in ((0, 0.5), (5, 0.7), (9, None))
        ]
        metrics.write(session, job.id, 1, lines)
    after = client.get(f"{JOBS}/{job.id}").json()["outcome"]["after"]
    assert (after["step"], after["accuracy"]) == (5, 0.7)

"""`/v1/first_steps`: each step is done by what it names, and by nothing else."""

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import func

from models import Comparison
from models.base import new_id
from models.files import FileStatus
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records

OURS = Caller(seed.ORG_ID, None, records.SCOPES)
STEPS = ("pairs", "run", "question", "vote")


def done(client: TestClient, **headers: str) -> set[str]:
    found = client.get("/v1/first_steps", headers=headers).json()
    return {name for name in STEPS if found[name]}


def compared(session, **fields) -> Comparison:
    made = Comparison(id=new_id("cmp"), org_id=seed.ORG_ID, sides=[], **fields)
    session.add(made)
    session.flush()
    return made


def test_a_new_installation_has_done_nothing(client: TestClient):
    assert done(client) == set()


def test_pairs_need_a_row_that_can_be_trained_on(client: TestClient):
    with transaction() as session:
        records.file(session, OURS, report={"rows": 3, "accepted": 0})
        records.file(session, OURS, status=FileStatus.ERROR, report=None)
        records.file(session, OURS, purpose="evals")
        records.file(session, OURS, deleted_at=func.now())
    assert done(client) == set()
    with transaction() as session:
        records.file(session, OURS)
    assert done(client) == {"pairs"}


def test_a_run_must_have_succeeded_and_be_a_training(client: TestClient):
    def succeed(session, **fields) -> None:
        job = records.job(session, OURS, JobState.QUEUED, **fields)
        job.generation, job.lease_until = 1, func.clock_timestamp() + timedelta(minutes=1)
        for state in (JobState.CLAIMED, JobState.RUNNING, JobState.FINALIZING, JobState.SUCCEEDED):
            job.state = state
            session.flush()

    with transaction() as session:
        records.job(session, OURS, JobState.QUEUED)
        succeed(session, purpose=Purpose.ESTIMATE)
    assert done(client) == {"pairs"}  # each job has a file
    with transaction() as session:
        succeed(session)
    assert done(client) == {"pairs", "run"}


def test_a_card_of_an_evaluation_is_no_question_but_its_vote_is_a_vote(client: TestClient):
    with transaction() as session:
        card = compared(session, evaluation_id="eval-1").id
    assert done(client) == set()
    with transaction() as session:
        session.get_one(Comparison, card).choice = "a"
    assert done(client) == {"question", "vote"}


def test_votes_are_new_until_a_file_is_made_of_them(client: TestClient, stranger: str):
    def new() -> int:
        return client.get("/v1/first_steps").json()["new_votes"]

    with transaction() as session:
        compared(session)
        for _ in range(3):
            compared(session, choice="tie", voted_at=func.clock_timestamp())
    assert new() == 3
    with transaction() as session:
        records.file(session, OURS, made_from={"votes": {}})
    assert new() == 0
    with transaction() as session:
        later = func.clock_timestamp() + timedelta(seconds=1)
        compared(session, choice="b", voted_at=later)
    assert new() == 1
    assert done(client, Authorization=f"Bearer {stranger}") == set()

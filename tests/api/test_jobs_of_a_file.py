"""The jobs that name a file, which a person looks at before deleting it."""

from fastapi.testclient import TestClient

from models import Job
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.platform.database import transaction
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)


def named(client: TestClient, file_id: str) -> set[str]:
    answer = client.get("/v1/fine_tuning/jobs", params={"file": file_id})
    assert answer.status_code == 200, answer.text
    return {job["id"] for job in answer.json()["data"]}


def test_jobs_are_listed_by_any_file_that_they_name(client: TestClient):
    with transaction() as session:
        pairs, prompts = (records.file(session, CALLER).id for _ in range(2))
        trained = records.job(session, CALLER, training_file=pairs)
        trained.state = JobState.CANCELLED
        validated = records.job(session, CALLER, validation_file=pairs)
        gate = {"suite": "ifeval", "metric": "prompt_strict", "data": prompts, "evaluation": None}
        gated = records.job(session, CALLER, gates=[gate])
        ids = [job.id for job in (trained, validated, gated)]
    assert named(client, pairs) == set(ids[:2])
    assert named(client, prompts) == {ids[2]}
    assert named(client, "file-of-nobody") == set()


def test_jobs_of_others_and_deleted_ones_are_not_listed(client: TestClient):
    with transaction() as session:
        stranger = records.caller(session, "stranger")
        pairs = records.file(session, CALLER).id
        records.job(session, stranger, training_file=pairs)
        deleted = records.job(session, CALLER, training_file=pairs)
        deleted.state, deleted.deleted_at = JobState.CANCELLED, deleted.created_at
        kept = records.job(session, CALLER, training_file=pairs)
        assert isinstance(kept, Job)
        kept_id = kept.id
    assert named(client, pairs) == {kept_id}

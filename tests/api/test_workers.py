"""What `/v1/workers` shows, and to which organisation."""

import json

import pytest
from fastapi.testclient import TestClient

from models.jobs import JobState
from services.access.callers import Caller
from services.files import base_models, seed
from services.jobs import claims, workers
from services.platform.database import transaction
from services.platform.errors import Conflict
from tests import records

OURS = Caller(seed.ORG_ID, None, records.SCOPES)


@pytest.fixture
def job(product: None) -> str:
    """A job of the operators' organisation, claimed by the first of three workers."""
    with transaction() as session:
        for name, host in (("node-a:1", "node-a"), ("node-a:2", "node-a"), ("node-b:1", "node-b")):
            workers.register(session, name, host=host, cores=4, devices=[])
        made = records.job(session, OURS, JobState.QUEUED)
        claims.claim_next(session, "node-a:1")
        return made.id


def test_those_who_run_the_installation_see_machines_and_jobs(client: TestClient, job: str):
    found = client.get("/v1/workers").json()["data"]
    assert [one["host"] for one in found] == ["node-a", "node-a", "node-b"]
    assert [one["job"] for one in found] == [job, None, None]


def test_another_organisation_sees_neither_names_nor_jobs(
    client: TestClient, job: str, stranger: str
):
    answer = client.get("/v1/workers", headers={"Authorization": f"Bearer {stranger}"})
    found = answer.json()["data"]
    assert [one["id"] for one in found] == ["worker-1", "worker-2", "worker-3"]
    # Machines get aliases, so that one can see how many there are for a job over several nodes.
    assert [one["host"] for one in found] == ["host-1", "host-1", "host-2"]
    assert [one["cores"] for one in found] == [4, 4, 4]
    assert "node-" not in answer.text
    assert job not in answer.text
    assert seed.ORG_ID not in answer.text


def test_an_id_that_another_organisation_has_is_refused_like_one_s_own(product: None):
    """Ids of bases are global: a refusal shows that one exists, and nothing else."""

    def refusal(session, caller: Caller) -> str:
        with pytest.raises(Conflict) as refused:
            base_models.register(session, caller, "acme/base", "/elsewhere", {})
        return json.dumps([refused.value.message, refused.value.param, refused.value.code])

    with transaction() as session:
        theirs = records.caller(session, "stranger")
        records.base_model(session, OURS, id="acme/base", path="/secret", info={"hub_id": "x"})
        assert refusal(session, theirs) == refusal(session, OURS)
        assert "secret" not in refusal(session, theirs)

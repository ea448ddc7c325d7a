"""`/readyz`: missing parts by name, and parts that run but don't fit."""

import threading

from fastapi.testclient import TestClient

from models import RunFolder, Worker
from services.jobs import workers
from services.platform import queue
from services.platform.database import transaction
from services.upkeep import health
from tests.api.at_work import at_work
from tests.api.fake_engine import wait_until
from tests.migration import at_migration
from workers import keeper

OK = {"status": "ok", "missing": [], "degraded": []}


def test_ready_says_who_is_missing_and_stays_ready(client: TestClient, redis_url, settings_from):
    settings_from(redis_url=redis_url)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    keeper_says, *waiting = answer.json()["degraded"]
    assert keeper_says.startswith("No keeper is at work")
    assert [f"`{name}`" in said for name, said in zip(queue.QUEUES, waiting, strict=True)]

    with at_work():
        assert wait_until(lambda: client.get("/readyz").json() == OK)


def test_a_keeper_that_hangs_is_seen(client: TestClient, redis_url, settings_from, monkeypatch):
    settings_from(redis_url=redis_url)
    monkeypatch.setattr("services.upkeep.health.KEEPER_SILENT_S", 0.5)
    hung, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hung.set()
        go_on.wait(30)

    monkeypatch.setattr(keeper, "LOOPS", [(hang, 0.0)])
    with at_work():
        try:
            assert hung.wait(10)
            said = "The keeper has not ended a turn"
            assert wait_until(lambda: said in str(client.get("/readyz").json()["degraded"]))
        finally:
            go_on.set()


def test_without_redis_it_is_not_ready(client: TestClient):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert "Redis does not answer" in answer.json()["missing"][0]
    assert answer.json()["degraded"] == []


def test_a_newer_schema_suits_and_an_older_one_does_not(
    client: TestClient, redis_url, settings_from
):
    settings_from(redis_url=redis_url)
    head = health.head()
    assert head is not None
    try:
        at_migration("of a later release")
        assert client.get("/readyz").status_code == 200
        at_migration("0001")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        (missing,) = answer.json()["missing"]
        assert missing.startswith(f"The database is at migration 0001, not {head}: run `alembic")
    finally:
        at_migration(head)


def test_workers_of_an_older_release_are_counted(client: TestClient, redis_url, settings_from):
    settings_from(redis_url=redis_url)
    with at_work():
        with transaction() as session:
            workers.register(session, "old:1", host="old", cores=2, devices=[])
            workers.register(session, "new:1", host="new", cores=2, devices=[])
            session.get_one(Worker, "old:1").spec_version = 0
        assert wait_until(lambda: len(client.get("/readyz").json()["degraded"]) == 1)
        (said,) = client.get("/readyz", headers={"Authorization": ""}).json()["degraded"]
        assert said.startswith("Train workers of an older release, which leave newer jobs alone: 1")
        assert "old:1" not in said  # no machine names without a key
    listed = {one["id"]: one["outdated"] for one in client.get("/v1/workers").json()["data"]}
    assert listed == {"old:1": True, "new:1": False}


def test_an_api_that_sees_another_run_folder_says_so(client: TestClient, redis_url, settings_from):
    settings_from(redis_url=redis_url)
    with transaction() as session:
        session.add(RunFolder(id=1, mark="another"))
    with at_work():
        assert wait_until(lambda: len(client.get("/readyz").json()["degraded"]) == 1)
        assert "this database's bears another" in client.get("/readyz").json()["degraded"][0]

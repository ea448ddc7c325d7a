"""Integrations of a job by REST: what is accepted, what is refused, and how far mirrors are."""

from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from models import Job, Mirror
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import integrations
from services.jobs.integrations import Tracker
from services.platform.database import transaction
from services.platform.settings import get_settings
from services.upkeep import removals
from tests import records
from tests.api.sent_files import error_of

JOBS = "/v1/fine_tuning/jobs"
OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
WANDB = {"type": "wandb", "wandb": {"project": "p", "name": "n", "tags": ["a", "b"]}}


@pytest.fixture
def body(product: None) -> dict[str, Any]:
    """A request for a job that is accepted."""
    with transaction() as session:
        model, file = records.base_model(session, OWNER).id, records.file(session, OWNER).id
    return {"model": model, "training_file": file}


def test_openai_s_client_creates_a_job_with_its_integration(
    openai_client: openai.OpenAI, body: dict[str, Any]
) -> None:
    create: Any = openai_client.fine_tuning.jobs.create
    made = create(**body, integrations=[WANDB])
    found = openai_client.fine_tuning.jobs.retrieve(made.id)
    for job in (made, found, next(iter(openai_client.fine_tuning.jobs.list()))):
        assert job.integrations is not None
        (shown,) = job.integrations
        assert shown.type == "wandb"
        assert (shown.wandb.project, shown.wandb.name, shown.wandb.tags) == ("p", "n", ["a", "b"])


def test_a_job_shows_how_far_each_mirror_is(client: TestClient, body: dict[str, Any]) -> None:
    wanted = [{"type": "mlflow"}, {"type": "tensorboard", "tensorboard": {}}]
    made = client.post(JOBS, json={**body, "integrations": wanted}).json()
    assert [each["type"] for each in made["integrations"]] == ["mlflow", "tensorboard"]
    assert {each["status"] for each in made["integrations"]} == {"waiting"}
    with transaction() as session:
        mirror = session.get_one(Mirror, (made["id"], 0))
        mirror.position, mirror.run_id = {"train": 7, "held_out": 4, "sample": [4, 1]}, "r"
        mirror.status, mirror.error = "mirroring", "It is away."
    for shown in (client.get(f"{JOBS}/{made['id']}").json(), client.get(JOBS).json()["data"][0]):
        first, second = shown["integrations"]
        assert (first["status"], first["step"], first["run_id"]) == ("mirroring", 7, "r")
        assert first["error"] == "It is away."
        assert (second["status"], second["step"], second["error"]) == ("waiting", None, None)
    without = client.post(JOBS, json={**body, "integrations": []}).json()
    assert without["integrations"] == []


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([{"type": "comet"}], "integrations.0"),
        ([{"wandb": {"project": "p"}}], "integrations.0.type"),
        ([{"type": "wandb"}], "integrations.0.wandb"),
        ([{"type": "wandb", "wandb": {}}], "integrations.0.wandb.project"),
        ([{"type": "wandb", "wandb": {"project": "a/b"}}], "integrations.0.wandb.project"),
        ([WANDB, WANDB | {"mlflow": {}}], "integrations.1.mlflow"),
        (
            [{"type": "tensorboard", "tensorboard": {"folder": "/"}}],
            "integrations.0.tensorboard.folder",
        ),
        ([{"type": "tensorboard"}] * 4, "integrations"),
    ],
)
def test_what_no_integration_can_be_is_refused_by_field(
    client: TestClient, body: dict[str, Any], given: list[Any], param: str
) -> None:
    error = error_of(client.post(JOBS, json={**body, "integrations": given}), 400)
    assert error["param"] == param


def test_what_is_not_installed_is_refused_with_what_to_install(
    client: TestClient, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(integrations.MODULES, Tracker.MLFLOW, "no_such_module")
    wanted = [WANDB, {"type": "mlflow"}]
    for path in (JOBS, f"{JOBS}/check"):
        error = error_of(client.post(path, json={**body, "integrations": wanted}), 400)
        assert (error["code"], error["param"]) == ("tracker_not_installed", "integrations.1.type")
        assert "oddsmith[mlflow]" in error["message"]
    with transaction() as session:
        assert session.scalars(select(Job.id)).all() == []


def test_an_estimate_is_not_mirrored(client: TestClient, body: dict[str, Any]) -> None:
    client.post(f"{JOBS}/estimate", json={**body, "integrations": [WANDB]}).raise_for_status()
    with transaction() as session:
        assert session.scalars(select(Mirror)).all() == []


def test_a_mirror_goes_with_its_job(client: TestClient, body: dict[str, Any]) -> None:
    wanted = [{"type": "tensorboard"}, {"type": "mlflow"}]
    made = client.post(JOBS, json={**body, "integrations": wanted}).json()
    with transaction() as session:
        session.get_one(Job, made["id"]).state = JobState.CANCELLED
        session.get_one(Mirror, (made["id"], 1)).run_id = "4f6d"
    folder = get_settings().trackers_dir / made["id"]
    of_mlflow, of_another = (
        get_settings().trackers_dir / "mlflow" / "1" / name for name in ("4f6d", "9a1c")
    )
    for each in (folder / "0", of_mlflow / "metrics", of_another):
        each.mkdir(parents=True)
    client.delete(f"{JOBS}/{made['id']}").raise_for_status()
    assert removals.remove_all() == 0
    assert not folder.exists()
    assert not of_mlflow.exists()
    assert of_another.exists()
    with transaction() as session:
        assert session.scalars(select(Mirror)).all() == []

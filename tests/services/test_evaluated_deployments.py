"""What an evaluation deploys for itself, and that it stays as long as it is needed."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from models import Deployment, Evaluation
from models.jobs import JobState, Purpose
from services.evaluations import deployed
from services.jobs import jobs
from services.platform.database import transaction
from services.serving import engines
from tests.services import evaluated
from tests.services.evaluating import World, world
from tests.services.fake_openai import FakeOpenAI, Reply
from workers.holding import Hold

__all__ = ["world"]


def test_a_model_that_is_not_deployed_ends_it_with_a_sentence(world: World) -> None:
    with transaction() as session:
        evaluated.records.base_model(session, world.caller, id="idle")
    evaluation_id = world.create(1, model="idle")
    world.run()
    job = world.job(evaluation_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, "model_not_deployed")


def test_it_deploys_what_it_needs_and_takes_only_that_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction() as session:
        evaluated.records.base_model(session, world.caller, id="idle")
    evaluation_id = world.create(2, model="idle", baseline="base", deploy=True)

    def serve(*_: Any) -> None:
        """What the serve worker does while this worker waits."""
        with transaction() as session:
            made = session.scalars(select(Deployment).where(Deployment.model == "idle")).one()
            base = session.scalars(select(Deployment).where(Deployment.model == "base")).one()
            made.status, made.engine_id = "ready", base.engine_id
            made.parity = evaluated.certificate("of idle")

    monkeypatch.setattr(Hold, "wait", serve)
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    with transaction() as session:
        wishes = dict(session.execute(select(Deployment.model, Deployment.desired)).all())
        assert session.get_one(Evaluation, evaluation_id).deployed == []
    assert wishes == {"idle": "stop", "base": "run", "tuned": "run"}


def test_a_deployment_stays_while_another_evaluation_needs_it(world: World) -> None:
    first, second = world.create(1), world.create(2)
    with transaction() as session:
        deployment = session.scalars(select(Deployment).where(Deployment.model == "tuned")).one()
        session.get_one(Evaluation, first).deployed = [deployment.id]
        jobs.cancel(session, world.caller, first, Purpose.EVALUATION)
        assert deployed.take_back(session) == []
        jobs.cancel(session, world.caller, second, Purpose.EVALUATION)
        assert deployed.take_back(session) == [deployment.id]
        assert deployed.take_back(session) == []


def test_an_engine_that_was_started_again_is_found_at_its_new_address(
    world: World, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.sock"

    def move(number: int, _: dict[str, Any]) -> Reply:
        if number == 1:
            with transaction() as session:
                session.execute(
                    update(Deployment).where(Deployment.model == "tuned").values(desired="stop")
                )
                evaluated.deployed(session, world.caller, "tuned", moved)
        return Reply("Yes." if number == 0 else None)

    world.server.reply = move
    with FakeOpenAI().serving(moved) as second:
        evaluation_id = world.create(3)
        world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert len(second.asked) == 2


def test_a_deployment_that_yields_serves_while_an_evaluation_is_held(world: World) -> None:
    with transaction() as session:
        session.execute(update(Deployment).values(yields=True))

    def look(number: int, body: dict[str, Any]) -> Reply:
        with transaction() as session:
            assert len(engines.wanted(session)) == 2
        return Reply("Yes.")

    world.server.reply = look
    evaluation_id = world.create(1)
    world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED

"""Outside endpoints as baselines of evaluations."""

from typing import Any

from sqlalchemy import select

from models import JobEvent
from models.jobs import JobState
from services.evaluations.evaluations import Endpoint
from services.platform.database import transaction
from tests.services.evaluating import World, world
from tests.services.fake_openai import FakeOpenAI, Reply

__all__ = ["world"]


def test_an_endpoint_is_a_baseline_and_gets_only_its_own_key(
    world: World, settings_from: Any
) -> None:
    with FakeOpenAI().serving() as outside:
        secrets = f'{{"out": {{"base_url": "{outside.url}", "key": "sk-secret"}}}}'
        settings_from(
            egress_allow="127.0.0.1",
            endpoint_secrets=secrets.replace("}}", f', "orgs": ["{world.caller.org_id}"]}}}}'),
        )
        evaluation_id = world.create(2, baseline=Endpoint(outside.url, "gpt", "out"))
        world.run()
    assert world.job(evaluation_id).state == JobState.SUCCEEDED
    assert [each["Authorization"] for each in outside.headers] == ["Bearer sk-secret"] * 2
    assert not any("Authorization" in each for each in world.server.headers)
    with transaction() as session:
        messages = session.scalars(select(JobEvent.message)).all()
    assert "sk-secret" not in str(messages) + str(world.evaluation(evaluation_id).baseline)


def test_an_endpoint_that_refuses_the_key_ends_it_with_a_sentence(
    world: World, settings_from: Any
) -> None:
    with FakeOpenAI(lambda *_: Reply("No such key.", 401)).serving() as outside:
        settings_from(egress_allow="127.0.0.1")
        evaluation_id = world.create(3, baseline=Endpoint(outside.url, "gpt"))
        world.run()
    error = world.job(evaluation_id).error
    assert error is not None
    assert "refuses the key (HTTP 401). No such key." in error["message"]
    assert len(outside.asked) == 1


def test_a_private_address_is_refused_when_a_connection_is_made(
    world: World, settings_from: Any
) -> None:
    with FakeOpenAI().serving() as outside:
        settings_from(egress_allow="127.0.0.1")
        evaluation_id = world.create(1, baseline=Endpoint(outside.url, "gpt"))
        settings_from(egress_allow="")
        world.run()
    error = world.job(evaluation_id).error
    assert error is not None
    assert error["code"] == "egress_refused"
    assert not outside.asked

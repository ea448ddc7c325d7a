"""Raters by REST: keys that only vote on the cards of one evaluation, and the links for them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from models import ApiKey, Comparison
from models.jobs import JobState
from services.access import api_keys
from services.access.callers import Caller, Scope
from services.files import seed
from services.platform.database import transaction
from services.upkeep import removals
from tests import records
from tests.api.sent_files import error_of
from tests.api.test_cards import (
    BASE,
    HIDDEN,
    TUNED,
    evaluated,
    models,
    next_card,
    pairs,
    vote,
)

Invite = Callable[..., TestClient]


def create(client: TestClient, evaluation_id: str | None, name: str = "Ada", **more: Any) -> Any:
    body = {"name": name, "scopes": ["vote"], "evaluation_id": evaluation_id, **more}
    return client.post("/v1/api_keys", json=body)


@pytest.fixture
def invite(client: TestClient, application: FastAPI) -> Invite:
    """Make a rater's key for an evaluation, and return a client that sends it."""

    def make(evaluation_id: str, name: str = "Ada") -> TestClient:
        key = create(client, evaluation_id, name).raise_for_status().json()["key"]
        return TestClient(application, headers={"Authorization": f"Bearer {key}"})

    return make


def test_a_link_holds_the_key_in_its_fragment_and_is_listed_without_it(client: TestClient) -> None:
    evaluation_id = evaluated(pairs(1))
    made = create(client, evaluation_id).raise_for_status().json()
    assert made["path"] == f"/vote#key={made['key']}"
    assert (made["scopes"], made["evaluation_id"]) == (["vote"], evaluation_id)
    create(client, evaluated(pairs(1)), "Grace").raise_for_status()
    listed = client.get("/v1/api_keys", params={"evaluation_id": evaluation_id})
    assert [key["name"] for key in listed.json()["data"]] == ["Ada"]
    assert made["key"] not in listed.text
    entries = client.get("/v1/audit_log", params={"object_id": made["id"]}).json()["data"]
    assert entries[0]["details"]["evaluation_id"] == evaluation_id
    ordinary = client.post("/v1/api_keys", json={"name": "n", "scopes": ["read"]}).json()
    assert (ordinary["path"], ordinary["evaluation_id"]) == (None, None)


@pytest.mark.parametrize(
    ("scopes", "is_named"),
    [(["vote"], False), (["read"], True), (["vote", "read"], True), (["chat"], True)],
)
def test_vote_alone_is_for_one_evaluation_and_nothing_else_is(
    client: TestClient, scopes: list[str], is_named: bool
) -> None:
    named = evaluated(pairs(1)) if is_named else None
    error = error_of(create(client, named, scopes=scopes), 400)
    assert error["param"] == "evaluation_id"
    assert client.get("/v1/api_keys").json()["data"][0]["name"] != "Ada"


def test_raters_are_invited_where_there_are_cards(client: TestClient) -> None:
    with transaction() as session:
        stranger = records.caller(session, "stranger")
    for evaluation_id, status in (
        ("eval-none", 404),
        (evaluated(pairs(1), owner=stranger), 404),
        (evaluated(pairs(1), JobState.RUNNING), 409),
        (evaluated([(["One."], [])]), 409),
    ):
        assert error_of(create(client, evaluation_id), status)["param"] == "evaluation_id"


def test_a_rater_learns_no_name_before_the_last_vote(client: TestClient, invite: Invite) -> None:
    evaluation_id = evaluated(pairs(3))
    rater = invite(evaluation_id)
    seen = ""
    for voted in range(3):
        answer = rater.post(f"/v1/evaluations/{evaluation_id}/cards/next").raise_for_status()
        dealt = answer.json()
        assert (dealt["voted"], dealt["of"], dealt["revealed"]) == (voted, 3, None)
        assert all(side[n] is None for side in dealt["card"]["comparison"]["sides"] for n in HIDDEN)
        told = vote(rater, dealt["card"], reason="clear").raise_for_status()
        assert (told.json()["voter"], told.json()["choice"]) == ("Ada", "a")
        seen += answer.text + told.text
        if voted == 0:  # what was voted on is final, but no name is told yet
            revealed = rater.post(f"/v1/evaluations/{evaluation_id}/cards/reveal")
            assert (revealed.json()["undoable"], revealed.json()["revealed"]) == (None, None)
            path = f"/v1/comparisons/{told.json()['id']}/vote"
            refused = rater.delete(path)
            assert error_of(refused, 409)["code"] == "revealed"
            seen += revealed.text + refused.text
    for name in (TUNED, BASE, "of the tuned", "of the base"):
        assert name not in seen
    assert next_card(rater, evaluation_id)["card"] is None
    done = rater.post(f"/v1/evaluations/{evaluation_id}/cards/reveal").json()
    assert sorted(map(str, models(done["revealed"]))) == sorted([TUNED, BASE])


def test_answers_that_name_their_model_are_not_flagged_for_a_rater(
    client: TestClient, invite: Invite
) -> None:
    """The flag would say that a word of the answer is the model's name."""
    evaluation_id = evaluated([(["I am SmolLM2."], ["I am a model."])])
    assert True in next_card(client, evaluation_id)["card"]["names_model"]
    assert next_card(invite(evaluation_id), evaluation_id)["card"]["names_model"] == [False, False]


def test_a_rater_takes_a_vote_back(client: TestClient, invite: Invite) -> None:
    evaluation_id = evaluated(pairs(2))
    rater = invite(evaluation_id)
    card = next_card(rater, evaluation_id)["card"]
    vote(rater, card).raise_for_status()
    undone = rater.delete(f"/v1/comparisons/{card['comparison']['id']}/vote").raise_for_status()
    assert (undone.json()["choice"], undone.json()["voter"]) == (None, None)
    assert next_card(rater, evaluation_id)["card"] == card


def test_other_cards_and_evaluations_are_not_there_for_a_rater(
    client: TestClient, invite: Invite
) -> None:
    evaluation_id, other = evaluated(pairs(2)), evaluated(pairs(2))
    rater, second = invite(evaluation_id), invite(evaluation_id, "Grace")
    for verb in ("next", "reveal"):
        refused = rater.post(f"/v1/evaluations/{other}/cards/{verb}")
        assert error_of(refused, 404)["param"] == "evaluation_id"
    with transaction() as session:
        owner = api_keys.authenticate(session, client.headers["Authorization"].split()[1])
        asked = Comparison(
            id="cmp-asked", org_id=seed.ORG_ID, api_key_id=owner.api_key_id, sides=[]
        )
        session.add(asked)
    theirs = [next_card(each, evaluation_id)["card"] for each in (client, second)]
    theirs += [next_card(client, other)["card"], {"comparison": {"id": "cmp-asked"}}]
    for card in theirs:
        path = f"/v1/comparisons/{card['comparison']['id']}/vote"
        for refused in (vote(rater, card), rater.delete(path)):
            assert error_of(refused, 404)["param"] == "comparison_id"


def test_votes_name_their_rater_and_are_counted(client: TestClient, invite: Invite) -> None:
    evaluation_id = evaluated(pairs(3))
    for name, count in (("Ada", 2), ("Grace", 1), ("Silent", 0)):
        rater = invite(evaluation_id, name)
        for _ in range(count):
            vote(rater, next_card(rater, evaluation_id)["card"]).raise_for_status()
    listed = client.get("/v1/api_keys", params={"evaluation_id": evaluation_id}).json()["data"]
    counts = {key["name"]: key["votes"] for key in listed}
    assert counts == {"Ada": 2, "Grace": 1, "Silent": 0}
    for key in listed:
        client.delete(f"/v1/api_keys/{key['id']}").raise_for_status()
    voters = [each["voter"] for each in client.get("/v1/votes").json()["data"]]
    assert sorted(voters) == ["Ada", "Ada", "Grace"], "also of keys that were revoked since"


def test_a_browser_of_a_rater_knows_its_evaluation(
    client: TestClient, application: FastAPI
) -> None:
    evaluation_id = evaluated(pairs(1))
    made = create(client, evaluation_id).json()
    # On several devices.
    browsers = [TestClient(application, headers={"Origin": "http://testserver"}) for _ in range(2)]
    for browser in browsers:
        browser.post("/v1/session", json={"api_key": made["key"]}).raise_for_status()
        session = browser.get("/v1/session").json()
        assert (session["evaluation_id"], session["scopes"]) == (evaluation_id, ["vote"])
        assert next_card(browser, evaluation_id)["card"] is not None
        assert error_of(browser.get("/v1/fine_tuning/jobs"), 403)["code"] == "insufficient_scope"
    client.delete(f"/v1/api_keys/{made['id']}").raise_for_status()
    path = f"/v1/evaluations/{evaluation_id}/cards/next"
    assert error_of(browsers[0].post(path), 401)["code"] == "signed_out"
    again = browsers[1].post("/v1/session", json={"api_key": made["key"]})
    assert error_of(again, 401)["code"] == "invalid_api_key"


def test_links_end_with_their_evaluation_and_votes_stay(client: TestClient, invite: Invite) -> None:
    evaluation_id = evaluated(pairs(1))
    rater = invite(evaluation_id)
    vote(rater, next_card(rater, evaluation_id)["card"]).raise_for_status()
    client.delete(f"/v1/evaluations/{evaluation_id}").raise_for_status()
    path = f"/v1/evaluations/{evaluation_id}/cards/next"
    assert error_of(rater.post(path), 401)["code"] == "invalid_api_key"
    assert removals.remove_job(evaluation_id)
    with transaction() as session:
        key = session.query(ApiKey).filter_by(name="Ada").one()
        assert key.evaluation_id is None
        assert key.revoked_at is not None
        # Even if it were valid, it could vote on nothing.
        key.revoked_at = None
    other = evaluated(pairs(1))
    assert rater.post(f"/v1/evaluations/{other}/cards/next").status_code == 404
    (kept,) = client.get("/v1/votes").json()["data"]
    assert (kept["voter"], kept["choice"]) == ("Ada", "a")


def test_no_log_holds_the_key(
    client: TestClient, application: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    made = create(client, evaluated(pairs(1))).json()
    browser = TestClient(application, headers={"Origin": "http://testserver"})
    browser.post("/v1/session", json={"api_key": made["key"]}).raise_for_status()
    assert caplog.records
    assert made["key"] not in caplog.text
    assert not re.search(r"key=", caplog.text)


def test_a_key_with_the_scope_chat_votes_and_one_from_before_does() -> None:
    assert Scope.VOTE in api_keys.INCLUDED[Scope.CHAT]
    old = ApiKey(id="k", org_id="o", name="n", hint="", sha256="", scopes=["read", "chat"])
    assert api_keys.caller_of(old) == Caller("o", "k", frozenset({"vote", "read", "chat"}))
    assert not api_keys.caller_of(old).is_rater

"""Cards by REST: blind votes on the stored answers of an evaluation."""

from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from models import Answer
from models.jobs import JobState
from services.access import api_keys
from services.access.callers import Caller, Scope
from services.files import seed
from services.platform.database import transaction
from tests import records
from tests.api.sent_files import error_of
from tests.api.stored_evaluations import CALLER

TUNED, BASE = "ft:acme--SmolLM2:default::1", "acme/SmolLM2"
HIDDEN = ("model", "base_model", "deployment_id", "adapter", "checkpoint_step", "weights_sha256",
          "device")  # fmt: skip


def said(session: Session, key: str, text: str) -> str:
    session.add(Answer(org_id=seed.ORG_ID, key=key, text=text, finish_reason="stop"))
    session.flush()
    return key


def evaluated(
    answers: list[tuple[list[str], list[str]]],
    state: JobState = JobState.SUCCEEDED,
    *,
    turns: int = 1,
    owner: Caller = CALLER,
) -> str:
    """An evaluation whose items have these answers of the model and of the baseline."""
    with transaction() as session:
        made = records.evaluation(
            session, owner, state, suite="custom",
            target={"model": TUNED, "weights_sha256": "of the tuned"},
            baseline={"model": BASE, "weights_sha256": "of the base"},
            sampling={"temperature": 0.5},
        )  # fmt: skip
        for place, (ours, theirs) in enumerate(answers):
            keys = [
                [
                    said(session, f"{made.id} {place} {name} {n}", text)
                    for n, text in enumerate(texts)
                ]
                for name, texts in (("model", ours), ("baseline", theirs))
            ]
            asked = [[{"role": "user", "content": f"{place} {n}?"}] for n in range(turns)]
            records.item(
                session, made.id, place, answers=keys[0], baseline_answers=keys[1], turns=asked
            )
        return made.id


def pairs(count: int) -> list[tuple[list[str], list[str]]]:
    return [([f"tuned {n}"], [f"plain {n}"]) for n in range(count)]


def next_card(client: Any, evaluation_id: str) -> dict[str, Any]:
    answer = client.post(f"/v1/evaluations/{evaluation_id}/cards/next")
    return answer.raise_for_status().json()


def vote(client: Any, card: dict[str, Any], choice: str = "a", **more: Any) -> httpx.Response:
    path = f"/v1/comparisons/{card['comparison']['id']}/vote"
    return client.post(path, json={"choice": choice, **more})


def texts(card: dict[str, Any]) -> list[str]:
    return [side["text"] for side in card["comparison"]["sides"]]


def models(comparison: dict[str, Any]) -> list[str | None]:
    return [side["model"] for side in comparison["sides"]]


def test_cards_are_blind_until_the_next_vote(client: TestClient) -> None:
    evaluation_id = evaluated(pairs(2))
    dealt = next_card(client, evaluation_id)
    first = dealt["card"]
    assert (dealt["voted"], dealt["of"], dealt["undoable"], dealt["revealed"]) == (0, 2, None, None)
    comparison = first["comparison"]
    assert all(side[name] is None for side in comparison["sides"] for name in HIDDEN)
    assert comparison["evaluation_id"] == evaluation_id
    asked = comparison["sides"][0]["asked"]
    assert asked["messages"][0]["content"] in {"0 0?", "1 0?"}
    assert asked["temperature"] == 0.5
    # Another tab has the same card.
    assert next_card(client, evaluation_id)["card"] == first
    after = vote(client, first, "b", reason="clear").raise_for_status().json()
    assert (after["choice"], after["revealed_at"]) == ("b", None)
    assert models(after) == [None, None]
    listed = client.get("/v1/votes").json()["data"]
    assert [models(each) for each in listed] == [[None, None]], "nor do lists tell them"
    dealt = next_card(client, evaluation_id)
    assert dealt["undoable"]["id"] == comparison["id"]
    assert (dealt["voted"], dealt["revealed"]) == (1, None)
    vote(client, dealt["card"]).raise_for_status()
    dealt = next_card(client, evaluation_id)
    assert (dealt["card"], dealt["voted"]) == (None, 2)
    assert dealt["revealed"]["id"] == comparison["id"]
    for side in dealt["revealed"]["sides"]:
        is_tuned = side["text"].startswith("tuned")
        assert side["model"] == (TUNED if is_tuned else BASE)
        assert side["weights_sha256"] == ("of the tuned" if is_tuned else "of the base")
    assert models(dealt["undoable"]) == [None, None]
    told = client.post(f"/v1/evaluations/{evaluation_id}/cards/reveal").raise_for_status().json()
    assert told["undoable"] is None
    assert sorted(map(str, models(told["revealed"]))) == sorted([TUNED, BASE])


def test_a_vote_is_taken_back_until_the_models_are_revealed(client: TestClient) -> None:
    evaluation_id = evaluated(pairs(3))
    first = next_card(client, evaluation_id)["card"]
    vote(client, first).raise_for_status()
    path = f"/v1/comparisons/{first['comparison']['id']}/vote"
    client.delete(path).raise_for_status()
    assert next_card(client, evaluation_id)["card"] == first, "the card is open again"
    vote(client, first, "tie").raise_for_status()
    # The other tab still shows the card: its vote does not replace this one.
    assert error_of(vote(client, first, "b"), 409)["code"] == "already_voted"
    vote(client, next_card(client, evaluation_id)["card"]).raise_for_status()
    assert error_of(client.delete(path), 409)["code"] == "revealed"
    assert error_of(vote(client, first, "b"), 409)["code"] == "revealed"
    stored = client.get(f"/v1/comparisons/{first['comparison']['id']}").json()
    assert (stored["choice"], sorted(map(str, models(stored)))) == ("tie", sorted([TUNED, BASE]))


def test_sides_are_shuffled_and_each_key_has_its_own_cards(client: TestClient) -> None:
    evaluation_id = evaluated(pairs(24))
    with transaction() as session:
        secret = api_keys.create(session, CALLER, "rater", [Scope.READ, Scope.CHAT])[1]
    orders: list[list[str]] = []
    left: Counter[str] = Counter()
    for headers in (dict(client.headers), {"Authorization": f"Bearer {secret}"}):
        client.headers.update(headers)
        order = []
        while (card := next_card(client, evaluation_id)["card"]) is not None:
            order.append(card["comparison"]["sides"][0]["asked"]["messages"][0]["content"])
            left[texts(card)[0].split()[0]] += 1
            vote(client, card).raise_for_status()
        orders.append(order)
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == 24
    assert orders[0] != orders[1]
    assert 8 <= left["tuned"] <= 40, "each side is on the left now and then (24 expected of 48)"


def test_a_card_of_another_key_is_not_to_be_voted_on(client: TestClient) -> None:
    evaluation_id = evaluated(pairs(1))
    card = next_card(client, evaluation_id)["card"]
    with transaction() as session:
        secret = api_keys.create(session, CALLER, "rater", [Scope.READ, Scope.CHAT])[1]
    client.headers["Authorization"] = f"Bearer {secret}"
    assert "another API key" in error_of(vote(client, card), 409)["message"]


def test_what_can_not_be_compared_is_no_card(client: TestClient) -> None:
    same, empty, only = (["Yes."], ["Yes. "]), (["", "x"][:1], ["No."]), (["One."], [])
    evaluation_id = evaluated([same, empty, only, (["Left."], ["Right."])])
    dealt = next_card(client, evaluation_id)
    assert sorted(texts(dealt["card"])) == ["Left.", "Right."]
    vote(client, dealt["card"]).raise_for_status()
    dealt = next_card(client, evaluation_id)
    assert (dealt["card"], dealt["voted"], dealt["of"]) == (None, 1, 3)


def test_of_a_conversation_the_first_turn_is_compared(client: TestClient) -> None:
    evaluation_id = evaluated([(["a1", "a2"], ["b1", "b2"])], turns=2)
    card = next_card(client, evaluation_id)["card"]
    assert sorted(texts(card)) == ["a1", "b1"]
    assert len(card["comparison"]["sides"][0]["asked"]["messages"]) == 1


def test_votes_are_read_by_their_evaluation(client: TestClient) -> None:
    ids = [evaluated(pairs(2)), evaluated(pairs(1))]
    for evaluation_id in ids:
        vote(client, next_card(client, evaluation_id)["card"]).raise_for_status()
    wanted = {"evaluation": ids[0]}
    (one,) = client.get("/v1/votes", params=wanted).json()["data"]
    assert one["evaluation_id"] == ids[0]
    assert client.get("/v1/votes/ranking", params=wanted).json()["counted"] == 1
    found = client.post("/v1/votes/preview", json={"filter": wanted}).json()
    assert found["counts"]["pairs"] == 1
    made = client.post("/v1/votes/files", json={"filter": wanted}).raise_for_status().json()
    assert made["made_from"]["votes"] == wanted
    assert client.get("/v1/votes", params={"evaluation": "eval-none"}).json()["data"] == []


def test_samples_of_one_model_make_cards_and_pairs(client: TestClient) -> None:
    evaluation_id = evaluated([(["s0", "s1", "s2", "s3", "s4"], [])])
    seen = []
    while (card := next_card(client, evaluation_id)["card"]) is not None:
        seen.append(sorted(texts(card)))
        vote(client, card, "b").raise_for_status()
    assert sorted(seen) == [["s0", "s1"], ["s2", "s3"]]
    counts = client.post("/v1/votes/preview", json={}).json()["counts"]
    assert (counts["votes"], counts["pairs"]) == (2, 2)


def test_thoughts_are_not_shown_and_a_named_model_is_flagged(client: TestClient) -> None:
    evaluation_id = evaluated([(["<think>hm</think>I am SmolLM2."], ["I am a model."])])
    card = next_card(client, evaluation_id)["card"]
    assert sorted(text.strip() for text in texts(card)) == ["I am SmolLM2.", "I am a model."]
    assert dict(zip(texts(card), card["names_model"], strict=True))["I am a model."] is False
    assert sorted(card["names_model"]) == [False, True]


@pytest.mark.parametrize("verb", ["next", "reveal"])
def test_evaluations_without_cards_are_refused(client: TestClient, verb: str) -> None:
    with transaction() as session:
        stranger = records.caller(session, "stranger")

    def refused(evaluation_id: str, status: int) -> dict[str, Any]:
        return error_of(client.post(f"/v1/evaluations/{evaluation_id}/cards/{verb}"), status)

    assert refused(evaluated(pairs(1), owner=stranger), 404)["param"] == "evaluation_id"
    assert refused(evaluated(pairs(1), JobState.RUNNING), 409)["code"] == "not_ended"
    assert refused(evaluated([(["One."], [])]), 409)["code"] == "no_cards"

"""Budgets of a key: changes per minute, chat tokens per minute, and answers at the same time."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from services.access import budgets
from tests.api.conftest import OTHER
from tests.api.fake_engine import FakeEngine, wait_until

pytest_plugins = ["tests.api.with_fake_engine"]
CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "why? " * 40}]  # 200 characters: 50 tokens
AS_OTHER = {"Authorization": f"Bearer {OTHER}"}
Set = Callable[..., None]


@pytest.fixture(autouse=True)
def budgets_of_this_test() -> None:
    budgets._limiter.cache_clear()
    budgets._quiet_until = 0.0


def ask(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"acme/{model}", "messages": QUESTION, "max_tokens": 50, **fields}


def is_refused(answer: Any) -> bool:
    if answer.status_code != 429:
        return False
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    return True


def test_a_key_that_changed_enough_is_refused_until_the_minute_ends(
    client: TestClient, other: None, settings_from: Set
) -> None:
    settings_from(changes_per_minute=3)
    tries = [client.delete("/v1/files/none") for _ in range(3)]
    assert {answer.status_code for answer in tries} == {404}
    for method, path in (
        ("POST", "/v1/fine_tuning/jobs"), ("POST", "/v1/files"), ("DELETE", "/v1/files/none"),
        ("POST", "/v1/fine_tuning/jobs/estimate"), ("POST", CHAT), ("POST", "/v1/comparisons"),
        ("POST", "/v1/files/none/deep_audits"), ("POST", "/v1/evaluations"),
    ):  # fmt: skip
        assert is_refused(client.request(method, path)), path
    # Reading costs no budget, and another key has its own.
    assert client.get("/v1/files").status_code == 200
    assert client.delete("/v1/files/none", headers=AS_OTHER).status_code == 404


def test_without_a_limit_none_is_refused(client: TestClient, settings_from: Set) -> None:
    settings_from(changes_per_minute=0)
    assert client.delete("/v1/files/none").status_code == 404


def test_tokens_are_counted_before_the_answer(
    http: httpx.Client, other: None, settings_from: Set, fake_engine: FakeEngine
) -> None:
    settings_from(chat_tokens_per_minute=500)
    # 50 for the question and 50 for each of 4 answers; then 100 for each of two sides.
    assert http.post(CHAT, json=ask("steady", n=4)).status_code == 200
    compared = {"models": ["acme/steady"] * 2, "messages": QUESTION, "max_tokens": 50}
    assert http.post("/v1/comparisons", json=compared).status_code == 200
    assert is_refused(http.post(CHAT, json=ask("steady")))
    assert is_refused(http.post("/v1/comparisons", json=compared))
    assert len(fake_engine.bodies) == 3
    # Without max_tokens an answer costs the maximum: here the whole budget of another key.
    for refused in (False, True):
        body = ask("steady", max_tokens=None)
        assert is_refused(http.post(CHAT, json=body, headers=AS_OTHER)) is refused


@pytest.mark.parametrize("ending", ["leaves", "breaks"])
def test_answers_at_once_and_places_that_come_back(
    http: httpx.Client, other: None, settings_from: Set, fake_engine: FakeEngine, ending: str
) -> None:
    settings_from(chats_at_once=3)
    with ExitStack() as streams:
        for _ in range(3):
            body = ask("silent" if ending == "leaves" else "dies", stream=True)
            answer = streams.enter_context(http.stream("POST", CHAT, json=body))
            assert answer.status_code == 200
            if ending == "breaks":
                assert b"engine_unavailable" in answer.read()
        if ending == "leaves":
            assert is_refused(http.post(CHAT, json=ask("steady")))
            compared = {"models": ["acme/steady"] * 2, "messages": QUESTION}
            assert is_refused(http.post("/v1/comparisons", json=compared))
            assert http.post(CHAT, json=ask("steady"), headers=AS_OTHER).status_code == 200
    assert wait_until(lambda: http.post(CHAT, json=ask("steady", n=3)).status_code == 200)
    assert is_refused(http.post(CHAT, json=ask("steady", n=4)))


def test_two_processes_count_together_and_none_counts_without_redis(
    client: TestClient, settings_from: Set, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings_from(changes_per_minute=2, redis_url=redis_url)
    assert client.delete("/v1/files/none").status_code == 404
    budgets._limiter.cache_clear()  # as in another process, which only has the counts in Redis
    answers = [client.delete("/v1/files/none") for _ in range(2)]
    assert [is_refused(answer) for answer in answers] == [False, True]
    settings_from(redis_url="redis://127.0.0.1:9/0")
    assert [client.delete("/v1/files/none").status_code for _ in range(3)] == [404] * 3
    assert len([r for r in caplog.records if "budgets of keys" in r.getMessage()]) == 1


def test_a_key_without_the_scope_costs_no_budget(client: TestClient, settings_from: Set) -> None:
    made = client.post("/v1/api_keys", json={"name": "reader", "scopes": ["read"]}).json()
    settings_from(changes_per_minute=1)
    headers = {"Authorization": f"Bearer {made['key']}"}
    tries = [client.post(CHAT, content=json.dumps(ask("m")), headers=headers) for _ in range(2)]
    assert {answer.status_code for answer in tries} == {403}

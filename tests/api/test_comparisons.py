"""Several models in one stream: no side waits for another, and none takes another with it."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.api.fake_engine import SLOW_S, WORDS, wait_until

pytest_plugins = ["tests.api.with_fake_engine"]

ASKED = [{"role": "user", "content": "Does it work?"}]


def compare(http: httpx.Client, *names: str, **fields: Any) -> list[tuple[float, dict[str, Any]]]:
    """Return (seconds since the request, event) of each event before `[DONE]`."""
    body = {"models": [f"acme/{name}" for name in names], "messages": ASKED, **fields}
    heard: list[tuple[float, str]] = []
    started = time.monotonic()
    with http.stream("POST", "/v1/comparisons", json=body, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        heard.extend(
            (time.monotonic() - started, line.removeprefix("data: "))
            for line in answer.iter_lines()
            if line.startswith("data: ")
        )
    assert heard.pop()[1] == "[DONE]"
    return [(at, json.loads(data)) for at, data in heard]


def test_a_slow_side_never_delays_the_other(http):
    events = compare(http, "slow", "steady", max_tokens=9)
    done_at = {event["side"]: at for at, event in events if event.get("done")}
    assert done_at[1] < SLOW_S * 2
    assert done_at[0] >= SLOW_S * len(WORDS)
    for side, name in enumerate(("slow", "steady")):
        *deltas, end = (event for _, event in events if event["side"] == side)
        assert [event["delta"] for event in deltas] == WORDS
        assert {event["model"] for event in (*deltas, end)} == {f"acme/{name}"}
        assert end["usage"]["completion_tokens"] == len(WORDS)
        assert end["finish_reason"] == "stop"
        assert end["first_token_s"] > 0
    slow = next(event for _, event in events if event.get("done") and event["side"] == 0)
    assert slow["tokens_per_s"] == pytest.approx(1 / SLOW_S, rel=0.3)


def test_a_side_that_dies_ends_with_an_error_of_its_own(http):
    events = [event for _, event in compare(http, "dies", "steady", "refuses", "lies")]
    ends = {event["side"]: event for event in events if "done" in event or "error" in event}
    assert ends[0]["error"]["code"] == "engine_unavailable"
    assert ends[1]["done"] is True
    assert ends[2]["error"]["message"] == "The prompt has 9000 tokens."
    assert "error" in ends[3]
    steady = [event["delta"] for event in events if event["side"] == 1 and "delta" in event]
    assert steady == WORDS


def test_all_sides_stop_when_the_client_leaves(http, fake_engine):
    body = {"models": ["acme/silent", "acme/slow"], "messages": ASKED}
    with http.stream("POST", "/v1/comparisons", json=body) as answer:
        next(answer.iter_raw())
    assert wait_until(lambda: fake_engine.aborted == 2)
    assert fake_engine.open == 0


def test_sampling_reaches_every_side(http, fake_engine):
    compare(http, "steady", "steady", temperature=0, seed=7)
    for body in fake_engine.bodies:
        assert body == {
            "model": "steady",
            "messages": ASKED,
            "temperature": 0,
            "seed": 7,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@pytest.mark.parametrize(
    ("models", "status", "param"),
    [
        (["acme/steady"], 400, "models"),
        (["acme/steady"] * 5, 400, "models"),
        (["acme/steady", "acme/unknown"], 404, "models.1"),
    ],
)
def test_two_to_four_deployed_models(http, models, status, param):
    answer = http.post("/v1/comparisons", json={"models": models, "messages": ASKED})
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param

"""Several models in one stream: no side waits for another, or fails because another fails."""

import json
import time
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from api.schemas.frames import ComparisonBegun, SideDelta, SideEnded, SideFailed
from tests.api.fake_engine import SLOW_S, WORDS, wait_until

pytest_plugins = ["tests.api.with_fake_engine"]

ASKED = [{"role": "user", "content": "Does it work?"}]

# As in the OpenAPI document.
FRAME: TypeAdapter[SideEnded | SideFailed | SideDelta] = TypeAdapter(
    SideEnded | SideFailed | SideDelta
)


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
    first, *events = [(at, json.loads(data)) for at, data in heard]
    assert [side["model"] for side in first[1]["comparison"]["sides"]] == body["models"]
    begun = ComparisonBegun.model_validate(first[1])
    assert begun.model_dump(mode="json") == first[1]
    for _, event in events:
        assert FRAME.validate_python(event).model_dump() == event
    return events


@pytest.mark.slow
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
        chunks = answer.iter_raw()  # keep a reference: without it the connection would close
        next(chunks)
        assert wait_until(lambda: fake_engine.open == 2)
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


def test_what_is_asked_of_all_sides_is_stored_and_has_a_bound(http):
    long = [{"role": "user", "content": "x" * 300_000}]
    names = ["acme/steady"] * 4
    answer = http.post("/v1/comparisons", json={"models": names, "messages": long})
    assert (answer.status_code, answer.json()["error"]["param"]) == (413, "messages")
    sides = [{"model": name, "messages": long} for name in names[:3]]
    assert len(sides_of(http, sides)["sides"]) == 3


def test_an_unknown_model_of_a_side_is_named_there(http):
    sides = [side("steady"), side("unknown")]
    answer = http.post("/v1/comparisons", json={"sides": sides})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "sides.1.model")


def sides_of(http: httpx.Client, sides: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Send each side its own messages; return the comparison as stored at the end."""
    with http.stream("POST", "/v1/comparisons", json={"sides": sides, **fields}) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    comparison_id = json.loads(lines[0])["comparison"]["id"]
    return http.get(f"/v1/comparisons/{comparison_id}").json()


def side(name: str, said: str = "Does it work?", **sampling: Any) -> dict[str, Any]:
    return {"model": f"acme/{name}", "messages": [{"role": "user", "content": said}], **sampling}


def test_each_side_may_be_asked_its_own_and_all_of_it_is_kept(http, fake_engine):
    stored = sides_of(http, [side("steady", "One?", temperature=0), side("quick", "Two?", seed=3)])
    first, second = stored["sides"]
    assert first["text"] == second["text"] == "".join(WORDS)
    assert first["asked"] == {"messages": side("", "One?")["messages"], "temperature": 0.0}
    assert second["asked"]["seed"] == 3
    assert {"temperature", "seed"} & set(fake_engine.bodies[0]) != {"temperature", "seed"}
    assert first["deployment_id"].startswith("deploy-")
    assert stored["ended"] is True
    assert stored["choice"] is None


@pytest.mark.slow
def test_one_side_is_stopped_and_the_other_goes_on(http, fake_engine):
    body = {"sides": [side("silent"), side("slow")]}
    events = []
    with http.stream("POST", "/v1/comparisons", json=body) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: {"))
        begun = json.loads(next(lines).removeprefix("data: "))["comparison"]
        stopped = http.post(f"/v1/comparisons/{begun['id']}/stop", json={"side": 0})
        assert stopped.status_code == 200
        events = [json.loads(line.removeprefix("data: ")) for line in lines]
    ends = {event["side"]: event["finish_reason"] for event in events if event.get("done")}
    assert ends == {0: "stopped", 1: "stop"}
    assert wait_until(lambda: fake_engine.open == 0)
    unknown = http.post(f"/v1/comparisons/{begun['id']}/stop", json={"side": 3})
    assert unknown.status_code == 404


def test_what_was_said_is_kept_when_the_client_leaves(http):
    with http.stream("POST", "/v1/comparisons", json={"sides": [side("slow")] * 2}) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: {"))
        begun = json.loads(next(lines).removeprefix("data: "))["comparison"]
        next(lines)
    path = f"/v1/comparisons/{begun['id']}"
    assert wait_until(lambda: http.get(path).json()["ended"], timeout_s=5)
    sides = http.get(path).json()["sides"]
    assert any(s["text"] for s in sides)
    assert all(s["finish_reason"] is None for s in sides)


def test_a_vote_counts_once_and_may_change(http):
    stored = sides_of(http, [side("steady"), side("quick")])
    path = f"/v1/comparisons/{stored['id']}/vote"
    for choice in ("a", "a", "both_bad"):
        assert http.post(path, json={"choice": choice}).json()["choice"] == choice
    (vote,) = http.get("/v1/votes").json()["data"]
    assert (vote["id"], vote["choice"]) == (stored["id"], "both_bad")
    assert [s["text"] for s in vote["sides"]] == ["".join(WORDS)] * 2


def test_votes_that_make_no_sense(http):
    three = sides_of(http, [side("steady")] * 3)
    answer = http.post(f"/v1/comparisons/{three['id']}/vote", json={"choice": "a"})
    assert answer.status_code == 409
    mute = sides_of(http, [side("steady"), side("refuses")])
    answer = http.post(f"/v1/comparisons/{mute['id']}/vote", json={"choice": "a"})
    assert answer.status_code == 409
    assert http.post("/v1/comparisons/cmp-no/vote", json={"choice": "a"}).status_code == 404
    answer = http.post(f"/v1/comparisons/{three['id']}/vote", json={"choice": "c"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "choice"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"models": ["acme/steady"] * 2}, None),
        ({"sides": [side("steady")] * 2, "temperature": 1}, None),
        ({"sides": [side("steady"), side("steady", temperature=9)]}, "sides.1.temperature"),
        ({"sides": [side("steady")] * 2, "held_out": {"job_id": "x", "line": 0}}, "held_out.line"),
    ],
)
def test_a_comparison_that_is_refused(http, body, param):
    answer = http.post("/v1/comparisons", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_held_out_pair_of_an_unknown_job(http):
    body = {"sides": [side("steady")] * 2, "held_out": {"job_id": "ftjob-no", "line": 1}}
    assert http.post("/v1/comparisons", json=body).status_code == 404

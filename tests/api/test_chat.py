"""The chat proxy with an engine that misbehaves: passed, refused and broken answers."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from fastapi.testclient import TestClient

from api import upstream
from api.app import create_app
from models import Deployment
from models.deployments import DeploymentStatus
from services.files import seed
from services.platform.database import transaction
from tests.api.conftest import KEY
from tests.api.fake_engine import WORDS, deploy, wait_until

ASKED = [{"role": "user", "content": "Does it work?"}]
pytest_plugins = ["tests.api.with_fake_engine"]


def ask(http: httpx.Client, name: str, **fields: Any) -> httpx.Response:
    body = {"model": f"acme/{name}", "messages": ASKED, **fields}
    return http.post("/v1/chat/completions", json=body)


def test_a_whole_answer_bears_the_name_that_was_asked_for(chat, fake_engine):
    answer = chat.chat.completions.create(model="acme/steady", messages=ASKED, max_tokens=7)
    assert answer.model == "acme/steady"
    # The text of the answer is not changed, even if it looks like the model field.
    assert answer.choices[0].message.content == '{"model":"steady"}'
    assert fake_engine.bodies == [{"model": "steady", "messages": ASKED, "max_tokens": 7}]


def test_a_stream_passes_through(chat):
    stream = chat.chat.completions.create(
        model="acme/steady", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"acme/steady"}
    assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == WORDS


def test_a_stream_says_done_when_it_is(http):
    answer = ask(http, "steady", stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("name", ["dies", "stops", "lies"])
def test_a_stream_that_breaks_off_never_says_done(http, name):
    answer = ask(http, name, stream=True)
    *frames, end = answer.text.split("\n\n")
    assert end == ""
    assert "[DONE]" not in answer.text
    assert len(frames) == 3
    error = json.loads(frames[-1].removeprefix("data: "))["error"]
    assert error["code"] == "engine_unavailable"
    assert set(error) == {"message", "type", "param", "code"}


def test_openai_s_client_raises_when_a_stream_breaks_off(chat):
    stream = chat.chat.completions.create(model="acme/dies", messages=ASKED, stream=True)
    with pytest.raises(openai.APIError, match="stopped answering"):
        list(stream)


def test_a_fault_of_our_own_ends_a_stream_with_an_error(http, monkeypatch):
    def fail(_seconds: float) -> None:
        raise RuntimeError("a secret")

    # This is called at the first frame, in the middle of the stream.
    monkeypatch.setattr(upstream.meters.first_token_s, "observe", fail)
    answer = ask(http, "steady", stream=True)
    error = json.loads(answer.text.removeprefix("data: "))["error"]
    assert error["code"] == "internal"
    assert "secret" not in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("name", ["slow", "silent"])
def test_the_engine_stops_when_a_streaming_client_leaves(http, fake_engine, name):
    body = {"model": f"acme/{name}", "messages": ASKED, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        if name == "slow":
            next(answer.iter_raw())
    assert wait_until(lambda: fake_engine.aborted == 1)
    assert fake_engine.open == 0


def test_the_engine_stops_when_a_waiting_client_leaves(http, fake_engine):
    async def ask_and_leave() -> None:
        body = {"model": "acme/silent", "messages": ASKED}
        async with httpx.AsyncClient(base_url=http.base_url, headers=http.headers) as client:
            asked = asyncio.create_task(client.post("/v1/chat/completions", json=body))
            assert await asyncio.to_thread(wait_until, lambda: fake_engine.open == 1)
            asked.cancel()
            await asyncio.wait([asked])

    asyncio.run(ask_and_leave())
    assert wait_until(lambda: fake_engine.aborted == 1)
    assert ask(http, "steady").status_code == 200


def test_what_the_engine_refuses_is_the_caller_s_error(http):
    for stream in (False, True):
        answer = ask(http, "refuses", stream=stream)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "The prompt has 9000 tokens."
        assert answer.json()["error"]["param"] == "messages"


def test_an_engine_that_is_gone_is_no_broken_answer(product):
    upstream._routes.clear()
    deploy(seed.ORG_ID, 9, "gone")  # the discard port: nothing listens
    client = TestClient(create_app(), headers={"Authorization": f"Bearer {KEY}"})
    body = {"model": "acme/gone", "messages": ASKED}
    for stream in (False, True):
        answer = client.post("/v1/chat/completions", json={**body, "stream": stream})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["error"]["code"] == "engine_unavailable"


def test_content_parts_of_text_are_joined_and_empty_extras_dropped(http, fake_engine):
    parts = [{"type": "text", "text": "Does "}, {"type": "text", "text": "it?"}]
    said = {"role": "assistant", "content": "Yes", "refusal": None, "tool_calls": []}
    messages = [{"role": "user", "content": parts}, said, *ASKED]
    assert ask(http, "steady", messages=messages).status_code == 200
    assert fake_engine.bodies[-1]["messages"] == [
        {"role": "user", "content": "Does it?"},
        {"role": "assistant", "content": "Yes"},
        *ASKED,
    ]


IMAGE = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}
TOOLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
        (
            {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
            "chat_template_kwargs.chat_template",
        ),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"n": 5}, "n"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{**ASKED[0], "tool_calls": TOOLS}]}, "messages.0"),
        ({"stream_options": {"surprise": True}}, "stream_options.surprise"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ],
)
def test_what_is_not_allowed_never_reaches_an_engine(http, fake_engine, fields, param):
    answer = ask(http, "steady", **fields)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert fake_engine.bodies == []


def test_a_model_must_be_deployed_and_ready(http):
    def error() -> dict[str, Any]:
        upstream._routes.clear()
        answer = ask(http, "steady")
        assert answer.status_code == 404
        return answer.json()["error"]

    with transaction() as session:
        deployment = session.query(Deployment).filter_by(model="acme/steady").one()
        deployment.status = DeploymentStatus.STARTING
    assert error()["code"] == "model_not_ready"
    with transaction() as session:
        deployment = session.get_one(Deployment, deployment.id)
        deployment.status = DeploymentStatus.FAILED
        deployment.error = {"message": "The disk is full."}
    assert "The disk is full." in error()["message"]
    with transaction() as session:
        session.get_one(Deployment, deployment.id).desired = "stop"
    assert error()["param"] == "model"
    assert "POST /v1/deployments" in error()["message"]


def test_chat_needs_a_key(api_url):
    answer = httpx.post(f"{api_url}/v1/chat/completions", json={"model": "m", "messages": ASKED})
    assert answer.status_code == 401

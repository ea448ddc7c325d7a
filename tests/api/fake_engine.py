"""A fake engine that misbehaves on demand: the model's name sets how it answers."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from models import BaseModelRecord, Deployment, Engine
from models.base import new_id
from models.deployments import DeploymentStatus
from services.platform.database import transaction

# What a certificate says of a template that renders all that a chat may hold.
RENDERS = {"tools": True, "reasoning": True, "enable_thinking": True, "tool_parser": "hermes"}
CERTIFICATE = {
    "token_ids_equal": True, "max_logprob_diff": 0.0, "mean_logprob_diff": 0.0,
    "weights_sha256": "a" * 64, "equal_to_base": False, "renders": RENDERS,
}  # fmt: skip
NAMES = ("steady", "quick", "slow", "dies", "stops", "lies", "silent", "refuses")
WORDS = ["Yes", ": ", "it ", "does", "."]
SLOW_S = 0.4
PIECE = 4000


class FakeEngine:
    """An ASGI app; records request bodies and how its streams ended.

    A model named in `texts` streams that text, in large pieces.
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self.words = {
            name: [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
            for name, text in (texts or {}).items()
        }
        self.bodies: list[dict[str, Any]] = []
        self.open = 0
        self.aborted = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = json.loads(await _body(receive))
        self.bodies.append(body)
        self.open += 1
        answering = asyncio.ensure_future(self.answer(body, send))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.aborted += 1
            else:
                answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
            self.open -= 1

    async def answer(self, body: dict[str, Any], send: Any) -> None:
        model = body["model"]
        if model == "refuses":
            error = {"message": "The prompt has 9000 tokens.", "type": "x", "param": "messages"}
            await _start(send, 400, "application/json")
            await _send(send, json.dumps({"error": error}).encode(), more=False)
        elif not body.get("stream"):
            await asyncio.sleep(60 if model == "silent" else 0)
            await _start(send, 200, "application/json")
            await _send(send, json.dumps(_whole(model), separators=(",", ":")).encode(), more=False)
        else:
            await _start(send, 200, "text/event-stream")
            await self.stream(body, send)

    async def stream(self, body: dict[str, Any], send: Any) -> None:
        model = body["model"]
        await asyncio.sleep(60 if model == "silent" else 0)
        words = self.words.get(model, WORDS)
        for number, word in enumerate(words):
            if number == 2 and model == "dies":
                raise ConnectionAbortedError  # the server then closes the connection
            if number == 2 and model == "lies":
                await _send(send, b'data: {"error": {"message": "EngineCore died"}}\n\n')
                break
            if number == 2 and model == "stops":
                await _send(send, b"", more=False)
                return
            await asyncio.sleep(SLOW_S if model == "slow" else 0)
            await _send(send, _frame(model, {"content": word}))
        usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 8}
        await _send(send, _frame(model, {}, finish_reason="stop", usage=usage))
        await _send(send, b"data: [DONE]\n\n", more=False)


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _start(send: Any, status: int, kind: str) -> None:
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send(send: Any, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _frame(model: str, delta: dict[str, Any], **fields: Any) -> bytes:
    usage = fields.pop("usage", None)
    choice = {"index": 0, "delta": delta, "finish_reason": None, **fields}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    text = json.dumps({**chunk, "choices": [choice], "usage": usage}, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def _whole(model: str) -> dict[str, Any]:
    # The text contains what the proxy replaces elsewhere; in a text it must not.
    message = {"role": "assistant", "content": f'{{"model":"{model}"}}'}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }  # fmt: skip


def deploy(org_id: str, port: int, *names: str, host: str = "127.0.0.1") -> None:
    """Record `acme/<name>` as ready on an engine at `port`, which serves it as `<name>`.

    With port 0, `host` is the path of its Unix socket.
    """
    with transaction() as session:
        for name in names:
            public = f"acme/{name}"
            path = f"/nowhere/{name}"
            session.add(BaseModelRecord(id=public, path=path, info={}, org_id=org_id))
            engine = Engine(
                id=new_id("engine"), weights=path, served_name=name, status="ready",
                worker="w", host=host, port=port, device="cpu",
            )  # fmt: skip
            session.add(engine)
            session.flush()
            session.add(
                Deployment(
                    id=new_id("deploy"), org_id=org_id, model=public, base_model=public,
                    status=DeploymentStatus.READY, engine_id=engine.id, parity=CERTIFICATE,
                )
            )  # fmt: skip


def wait_until(condition: Any, timeout_s: float = 10) -> bool:
    until = time.monotonic() + timeout_s
    while not (held := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return bool(held)

"""The serve worker's requests to an engine over HTTP: models, adapters, token ids, log-probs.

Knows no rows and no process.
"""

import json
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from services.serving.engines import Address

ANSWER_S = 5
# A cold engine on a busy CPU may take its time for the first tokens.
COMPUTE_S = 180


@lru_cache(maxsize=64)
def _http(socket: str | None) -> httpx.Client:
    """One client for all requests to an address: making one takes milliseconds of a core.

    It keeps no connection, since an engine may end a silent one at any moment.
    """
    # Without certificates, which would take 30 ms to read: engines use plain HTTP.
    transport = httpx.HTTPTransport(
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_keepalive_connections=0),
        uds=socket,
    )
    # The environment's proxies must not be used for engines.
    return httpx.Client(transport=transport, trust_env=False)


# A tool for a request that only shows whether the engine takes tools with `auto`.
TOOL = {"type": "function", "function": {"name": "none", "parameters": {"type": "object"}}}

# By a model's name: the folder that it was loaded from, and for an adapter its base.
Listing = dict[str, tuple[str | None, str | None]]


class RefusedError(Exception):
    """The engine refused a request; the message is its own."""


class DownError(Exception):
    """The engine didn't answer, or it failed while it answered."""


@dataclass(frozen=True)
class EngineClient:
    address: Address

    def models(self) -> Listing | None:
        """Return what it serves now by name, or None while it doesn't answer."""
        try:
            listed = self._call("GET", "/v1/models", timeout_s=ANSWER_S)
        except (DownError, RefusedError):
            return None
        return {model["id"]: (model.get("root"), model.get("parent")) for model in listed["data"]}

    def version(self) -> str | None:
        """Return the version of vLLM, or None if the engine doesn't name it."""
        found = self._call("GET", "/version", timeout_s=ANSWER_S)
        return found.get("version") if isinstance(found, dict) else None

    def load_adapter(self, name: str, folder: Path) -> None:
        body = {"lora_name": name, "lora_path": str(folder)}
        self._call("POST", "/v1/load_lora_adapter", body)

    def unload_adapter(self, name: str) -> None:
        self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name}, timeout_s=ANSWER_S)

    def tokenize(
        self,
        model: str,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        thinking: bool | None = None,
    ) -> list[int]:
        """Return the token ids of the rendered prompt, ready for an answer.

        `thinking` is the template's switch `enable_thinking`; None leaves it as the template does.
        """
        body = _conversation(model, messages, tools)
        if thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        return self._call("POST", "/tokenize", body | {"add_generation_prompt": True})["tokens"]

    def detokenize(self, model: str, token: int) -> str:
        """Return the text of one token; a part of a character becomes U+FFFD."""
        body = {"model": model, "tokens": [token]}
        return str(self._call("POST", "/detokenize", body, timeout_s=ANSWER_S)["prompt"])

    def answer_one_token(
        self, model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> int:
        """Request an answer of one token; return the number of tokens that the engine reports."""
        body = _conversation(model, messages, tools) | {"max_tokens": 1, "temperature": 0}
        if tools:
            body["tool_choice"] = "none"
        return self._call("POST", "/v1/chat/completions", body)["usage"]["completion_tokens"]

    def parses_calls(self, model: str, messages: list[dict[str, Any]]) -> bool:
        """Whether the engine reads tool calls out of answers: it refuses `auto` if it does not."""
        body = _conversation(model, messages, [TOOL]) | {"max_tokens": 1, "tool_choice": "auto"}
        try:
            self._call("POST", "/v1/chat/completions", body)
        except RefusedError:
            return False
        return True

    def logprobs(self, model: str, prompt: list[int], completion: list[int]) -> list[float]:
        """Return the log-prob, in nats, of each completion token after the prompt."""
        body = {
            "model": model,
            "prompt": [*prompt, *completion],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
        }
        scored = self._call("POST", "/v1/completions", body)["choices"][0]["prompt_logprobs"]
        tail = zip(scored[len(prompt) :], completion, strict=True)
        return [position[str(token)]["logprob"] for position, token in tail]

    def _call(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = COMPUTE_S
    ) -> Any:
        try:
            answer = _http(self.address.socket).request(
                method,
                self.address.url + path,
                json=body,
                headers=self.address.headers,
                timeout=timeout_s,
            )
        except httpx.TransportError as error:
            raise DownError(str(error) or type(error).__name__) from error
        if answer.is_server_error:
            raise DownError(_message(answer))
        if answer.is_client_error:
            raise RefusedError(_message(answer))
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer.text


def _conversation(
    model: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [_spelled(each) for each in messages]}
    return body | ({"tools": tools} if tools else {})


def _spelled(message: dict[str, Any]) -> dict[str, Any]:
    """A message as all of vLLM's paths take it.

    `/tokenize` knows reasoning by one name only, and requires of a call an id and arguments as
    text; both are parsed before the template sees them.
    """
    said = dict(message)
    if said.get("reasoning_content"):
        said["reasoning"] = said.pop("reasoning_content")
    if said.get("tool_calls"):
        said["tool_calls"] = [_call_of(*each) for each in enumerate(said["tool_calls"])]
    return said


def _call_of(number: int, call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments") or {}
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    named = {"id": f"call_{number}", "type": "function"} | call
    return named | {"function": function | {"arguments": arguments}}


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"

"""Asks a model for answers over HTTP: an engine of ours or an endpoint of others, many at a time.

Bounds how many requests are on their way, and repeats what may succeed later: after 429 when the
server says, after errors of the server, timeouts and lost connections with growing pauses. Knows
no row and no suite.
"""

import asyncio
import email.utils
import json
import logging
import math
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from services.platform import egress, retries
from services.platform.errors import Invalid
from services.platform.storable import UNSTORABLE

logger = logging.getLogger(__name__)

CONNECT_S = 10
# An engine's server closes a silent connection after 5 s. We close ours earlier, to avoid a race.
KEEPALIVE_S = 4.0
LONGEST_REASON = 300
MOST_BYTES = 2**24  # of one answer
# 400 and its kin concern one request; these concern all requests to the same model.
REFUSES_ALL = {
    401: "refuses the key",
    403: "refuses access",
    404: "does not know the model or the path",
    405: "is no OpenAI-compatible endpoint",
}
LATER = frozenset({408, 409, 425, 429})


class RefusedError(Exception):
    """This request gets no answer, others may: the message is a sentence."""


class UnansweredError(RefusedError):
    """This request gets no answer, however often it is sent."""


class UnusableError(Exception):
    """No request to this model gets an answer: the message is a sentence for the user."""

    def __init__(self, message: str, code: str = "model_unusable") -> None:
        super().__init__(message)
        self.message, self.code = message, code


@dataclass(frozen=True)
class Upstream:
    """Where a model answers and the name it has there. `socket` is a Unix socket's path."""

    url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    socket: str | None = None


@dataclass(frozen=True)
class Reply:
    """An answer. `thought` is what the model thought before it, where the server tells them apart;
    `logprobs` has the first token's alternatives in nats, where the request asked for them.
    """

    text: str
    thought: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Patience:
    """How often a request is sent, and the pauses between: they double up to the longest."""

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 60.0
    # The longest pause that a server may ask for.
    retry_after_s: float = 300.0
    # Refusals for being too many don't count as attempts, up to this number.
    limited: int = 30
    # Requests in a row, none answered between, after which a model counts as gone.
    in_a_row: int = 24

    def pause_s(self, attempt: int) -> float:
        """The pause after the attempt with this number, from 1, with some chance in it: otherwise
        all requests of a moment come back together.
        """
        pause_s = retries.delay_s(attempt, first_s=self.first_s, longest_s=self.longest_s)
        return pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


class Room:
    """At most `size()` holders at a time; those who wait are served in order."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._busy = 0
        self._freed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy < max(1, self._size()))
            self._busy += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._freed:
            self._busy -= 1
            self._freed.notify()


class Asker:
    """Asks one model. `locate` returns where it answers now, and may wait for that; it raises
    UnusableError if the model is gone for good. `room` bounds the requests to one engine. `shape`
    brings a request into the form that the model takes; it raises Invalid if it takes none. `check`
    raises if no request is to be sent any more.

    Use it in an `async with`. All methods belong to one event loop.
    """

    def __init__(
        self,
        name: str,
        locate: Callable[[], Awaitable[Upstream]],
        room: Room,
        *,
        timeout_s: float,
        shape: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
        check: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> None:
        self.name = name
        self._locate, self._room, self._timeout_s = locate, room, timeout_s
        self._shape, self._check = shape, check
        self._patience = patience or Patience()
        self._upstream: Upstream | None = None
        self._locating = asyncio.Lock()
        self._clients: dict[str | None, httpx2.AsyncClient] = {}
        # No request is sent before this moment: the server has asked for a pause.
        self._not_before = 0.0
        self._unanswered = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """Return the answer to a chat request, whose `model` is added here.

        Raises RefusedError if this request gets none, and UnusableError if none does.
        """
        try:
            shaped = self._shape(body)
        except Invalid as refusal:
            raise RefusedError(refusal.message) from None
        async with self._room:
            try:
                reply = await self._ask(shaped)
            except UnansweredError as last:
                self._unanswered += 1
                if self._unanswered >= self._patience.in_a_row:
                    raise UnusableError(
                        f"{self.name} has answered none of {self._unanswered} requests in a row. "
                        "What it answered before is kept: create the evaluation again when it "
                        f"answers. The last reason: {last}"
                    ) from None
                raise
            self._unanswered = 0
            return reply

    async def _ask(self, body: Mapping[str, Any]) -> Reply:
        attempt = limited = 0
        while True:
            await self._until_allowed()
            upstream = await self._where()
            outcome = await self._send(upstream, body)
            if isinstance(outcome, Reply):
                return outcome
            if outcome.is_limited and limited < self._patience.limited:
                limited += 1
                self._postpone(max(outcome.retry_after_s, self._patience.pause_s(1)))
                continue
            attempt += 1
            if attempt >= self._patience.attempts:
                times = "once" if attempt == 1 else f"{attempt} times"
                raise UnansweredError(f"{self.name} was asked {times}: {outcome.reason}")
            logger.info("asked again: %s", outcome.reason)
            asked_s = min(outcome.retry_after_s, self._patience.retry_after_s)
            await asyncio.sleep(max(asked_s, self._patience.pause_s(attempt)))
            if self._upstream is upstream and outcome.is_lost:
                self._upstream = None  # an engine that was started again has another address

    async def _until_allowed(self) -> None:
        while (left_s := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    def _postpone(self, pause_s: float) -> None:
        if pause_s > self._patience.retry_after_s:
            raise UnansweredError(
                f"{self.name} allows no further request for {pause_s:.0f} s (HTTP 429)."
            )
        self._not_before = max(self._not_before, time.monotonic() + pause_s)

    async def _where(self) -> Upstream:
        async with self._locating:
            if self._upstream is None:
                self._upstream = await self._locate()
            return self._upstream

    async def _send(self, upstream: Upstream, body: Mapping[str, Any]) -> "Reply | _Later":
        self._check()
        try:
            async with (
                # All of an answer: a server that sends it byte by byte would take for ever.
                asyncio.timeout(self._timeout_s),
                self._client(upstream.socket).stream(
                    "POST",
                    f"{upstream.url}/chat/completions",
                    json={"model": upstream.model, **body},
                    headers=dict(upstream.headers),
                ) as response,
            ):
                content = await self._content(response)
        except (TimeoutError, httpx2.TimeoutException):
            return _Later(f"it did not answer within {self._timeout_s:.0f} s.", is_lost=True)
        except httpx2.RequestError as error:
            # A connection that breaks off, an engine that is started again, or a body that can't be
            # decoded.
            return _Later(f"the connection failed ({type(error).__name__}).", is_lost=True)
        except Invalid as refusal:  # the address is not allowed
            raise UnusableError(refusal.message, refusal.code) from None
        return self._read(upstream, response, content)

    async def _content(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MOST_BYTES:
                raise RefusedError(f"{self.name} sent more than {MOST_BYTES >> 20} MB.")
        return bytes(content)

    def _read(
        self, upstream: Upstream, response: httpx2.Response, content: bytes
    ) -> "Reply | _Later":
        content = _without_keys(content, upstream.headers)
        status, reason = response.status_code, _reason(content)
        if response.is_success:
            return _reply(self.name, content)
        # An engine of ours has no adapter for a moment after it was started again.
        is_ours = upstream.socket is not None
        if status in LATER or status >= 500 or (status == 404 and is_ours):
            reason = f"it answered with HTTP {status}. {reason}".strip()
            return _Later(reason, status == 429, status == 404 or status >= 500, _after_s(response))
        if status in REFUSES_ALL:
            sentence = f"{self.name} {REFUSES_ALL[status]} (HTTP {status}). {reason}"
            raise UnusableError(sentence.strip())
        if response.is_redirect:
            raise UnusableError(f"{self.name} redirects to another address, which is not followed.")
        sentence = f"{self.name} refused the request (HTTP {status}). {reason}"
        raise RefusedError(sentence.strip())

    def _client(self, socket: str | None) -> httpx2.AsyncClient:
        if socket not in self._clients:
            timeout = httpx2.Timeout(self._timeout_s, connect=CONNECT_S, pool=None)
            limits = httpx2.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S)
            options: dict[str, Any] = {"timeout": timeout, "follow_redirects": False}
            if socket is None:
                self._clients[socket] = egress.async_client(limits=limits, **options)
            else:
                # Without certificates, which would take 30 ms to read: engines use plain HTTP.
                no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                transport = httpx2.AsyncHTTPTransport(verify=no_tls, limits=limits, uds=socket)
                self._clients[socket] = httpx2.AsyncClient(
                    transport=transport, trust_env=False, **options
                )
        return self._clients[socket]


@dataclass(frozen=True)
class _Later:
    """Why a request may succeed later. `is_lost` if the model may answer elsewhere by then."""

    reason: str
    is_limited: bool = False
    is_lost: bool = False
    retry_after_s: float = 0.0


def _reply(name: str, content: bytes) -> Reply:
    """Read an answer; raises RefusedError for one that has no text where OpenAI's API has it."""
    try:
        found = json.loads(content)
        choice = found["choices"][0]
        message = choice["message"]
        usage = found.get("usage") or {}
        text = message.get("content") or message.get("refusal") or ""
        thought = message.get("reasoning_content") or message.get("reasoning")
        reply = Reply(
            text=UNSTORABLE.sub("\ufffd", text),
            thought=UNSTORABLE.sub("\ufffd", thought) if thought else None,
            finish_reason=UNSTORABLE.sub("\ufffd", choice.get("finish_reason") or "stop"),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            logprobs=_first_token(choice),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise RefusedError(f"{name} answered with something that is no chat completion.") from None
    return reply


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**53 else None


def _first_token(choice: dict[str, Any]) -> dict[str, float] | None:
    """The likeliest first tokens with their logprobs; None where the server gives none."""
    try:
        first = choice["logprobs"]["content"][0]["top_logprobs"]
        found = {str(each["token"]): float(each["logprob"]) for each in first}
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    # A probability is 1 at most, whatever was rounded; NaN is none.
    known = {token: min(value, 0.0) for token, value in found.items() if not math.isnan(value)}
    return known or None


def _without_keys(content: bytes, headers: Mapping[str, str]) -> bytes:
    """What a server sent, without the key that it was sent: some quote it in their errors."""
    for value in headers.values():
        content = content.replace(value.rpartition(" ")[2].encode(), b"[key]")
    return content


def _reason(content: bytes) -> str:
    """The server's own words, in one line; no header, since those may hold a key."""
    try:
        error = json.loads(content)["error"]
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    line = " ".join(UNSTORABLE.sub("\ufffd", str(words)).split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def _after_s(response: httpx2.Response) -> float:
    """How long the server asks to wait: seconds, or until a date."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0

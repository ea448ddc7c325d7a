"""How models are asked over HTTP: what is sent again, what is refused, what ends it all."""

import asyncio
import email.utils
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.services.fake_openai import FakeOpenAI, Reply
from workers import asking
from workers.asking import (
    Asker,
    Patience,
    RefusedError,
    Room,
    UnansweredError,
    UnusableError,
    Upstream,
)

BODY = {"messages": [{"role": "user", "content": "Why?"}]}
QUICK = Patience(attempts=3, first_s=0.001, longest_s=0.002, retry_after_s=5)


@pytest.fixture(autouse=True)
def _loopback(settings_from: Any) -> None:
    settings_from(egress_allow="127.0.0.1", database_url="")


def ask(
    reply: Callable[[int, dict[str, Any]], Reply],
    timeout_s: float = 30,
    patience: Patience = QUICK,
) -> tuple[asking.Reply, FakeOpenAI]:
    """Ask a server once and return its answer."""

    async def once(server: FakeOpenAI) -> asking.Reply:
        async def locate() -> Upstream:
            return Upstream(server.url, "m", {"Authorization": "Bearer sk-of-the-test"})

        room = Room(lambda: 1)
        async with Asker("It", locate, room, timeout_s=timeout_s, patience=patience) as asker:
            return await asker.ask(BODY)

    with FakeOpenAI(reply).serving() as server:
        return asyncio.run(once(server)), server


def answers(*replies: Reply) -> Callable[[int, dict[str, Any]], Reply]:
    return lambda number, _: replies[min(number, len(replies) - 1)]


def test_an_answer_is_read() -> None:
    found, server = ask(answers(Reply("Because.", finish_reason="length")))
    assert (found.text, found.finish_reason) == ("Because.", "length")
    assert (found.prompt_tokens, found.completion_tokens) == (3, 5)
    assert server.asked == [{"model": "m", **BODY}]
    assert server.headers[0]["Authorization"] == "Bearer sk-of-the-test"


def test_characters_that_can_t_be_stored_are_replaced() -> None:
    assert ask(answers(Reply("a\0b\ud800c")))[0].text == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("first", [Reply(None), Reply("?", 500), Reply("?", 408)])
def test_what_may_succeed_later_is_asked_again(first: Reply) -> None:
    found, server = ask(answers(first, Reply("Yes.")))
    assert (found.text, len(server.asked)) == ("Yes.", 2)


def test_a_pause_that_the_server_asks_for_is_kept() -> None:
    moments = []

    def limited(number: int, _: dict[str, Any]) -> Reply:
        moments.append(time.monotonic())
        return Reply("Yes.") if number else Reply("Later.", 429, {"retry-after": "0.3"})

    ask(limited)
    assert moments[1] - moments[0] >= 0.3


def test_an_overloaded_server_that_asks_for_a_day_is_asked_again_soon() -> None:
    overloaded = Reply("Later.", 503, {"retry-after": "86400"})
    patience = replace(QUICK, retry_after_s=0.01)
    assert ask(answers(overloaded, Reply("Yes.")), patience=patience)[0].text == "Yes."


def test_a_body_that_can_t_be_decoded_is_asked_for_again() -> None:
    broken = Reply("Yes.", headers={"content-encoding": "gzip"})
    assert ask(answers(broken, Reply("Yes.")))[0].text == "Yes."


def test_a_date_is_a_pause_too() -> None:
    when = email.utils.formatdate(time.time() + 100, usegmt=True)
    with pytest.raises(UnansweredError, match=r"no further request for (99|100|101) s"):
        ask(answers(Reply("Later.", 429, {"retry-after": when})))


def test_a_server_that_fails_for_good_is_asked_a_few_times() -> None:
    with pytest.raises(UnansweredError, match=r"asked 3 times: it answered with HTTP 503. Down."):
        ask(answers(Reply("Down.", 503)))


def test_a_slow_answer_is_given_up() -> None:
    def slow(*_: Any) -> Reply:
        time.sleep(0.5)
        return Reply("Yes.")

    with pytest.raises(UnansweredError, match="did not answer within"):
        ask(slow, timeout_s=0.05)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_is_asked_once(status: int) -> None:
    asked = []

    def refuse(number: int, _: dict[str, Any]) -> Reply:
        asked.append(number)
        return Reply("Too long.", status)

    with pytest.raises(RefusedError, match=rf"refused the request \(HTTP {status}\). Too long."):
        ask(refuse)
    assert asked == [0]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "refuses the key"), (404, "does not know the model"), (302, "redirects")],
)
def test_what_concerns_all_requests_ends_it(status: int, sentence: str) -> None:
    with pytest.raises(UnusableError, match=sentence):
        ask(answers(Reply("?", status, {"location": "http://127.0.0.1:9/"})))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b"<html>", b"[" * 100_000]
)
def test_an_answer_that_is_no_chat_completion_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError, match="no chat completion"):
        asking._reply("It", content)


def test_a_refusal_and_a_thought_are_read() -> None:
    content = b"""{"choices": [{"message": {"content": null, "refusal": "No.",
        "reasoning_content": "Hm."}, "finish_reason": "stop", "logprobs": {"content": [
        {"top_logprobs": [{"token": "m", "logprob": -0.5}]}]}}]}"""
    found = asking._reply("It", content)
    assert (found.text, found.thought, found.logprobs) == ("No.", "Hm.", {"m": -0.5})


def test_what_no_model_computes_is_no_logprob_and_no_reason_with_nul_is_stored() -> None:
    content = b"""{"choices": [{"message": {"content": "m"}, "finish_reason": "st\\u0000p",
        "logprobs": {"content": [{"top_logprobs": [{"token": "m", "logprob": 1e6},
        {"token": "M", "logprob": NaN}]}]}}]}"""
    found = asking._reply("It", content)
    assert (found.finish_reason, found.logprobs) == ("st\ufffdp", {"m": 0.0})


def test_a_room_serves_those_who_wait_in_order() -> None:
    async def fill() -> list[int]:
        room, served = Room(lambda: 1), list[int]()

        async def enter(number: int) -> None:
            async with room:
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*map(enter, range(4)))
        return served

    assert asyncio.run(fill()) == [0, 1, 2, 3]

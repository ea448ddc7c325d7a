"""Many clients follow a job from any place, may be late or slow, and leave: none misses a step."""

import asyncio
import random
import re
from typing import Any

import orjson
import pytest

from api import job_news, job_stream
from api.job_news import Message, News, Place
from services.access.callers import Caller

CALLER = Caller("org", None, frozenset())
FRAME = re.compile(rb"id: \d+\.(\d+)\.\S+\nevent: metrics\ndata: (.*)\n\n")
# The last id that a client sends, and the first step that it must get.
PLACES = {None: 0, "0.5.-1": 6, "0.20.-1": 21, "9.999999.9": 10**6, "7.-1.-1": 0}


class Run:
    """A job in memory that writes every second step; a read returns at most seven."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.ended = False

    def read(
        self, _: Any, __: Any, place: Place, version: str | None = None, *___: Any
    ) -> News | None:
        ended, steps = self.ended, list(self.steps)
        found = [step for step in steps if step > place.train][:7]
        now = f"{len(steps)} {ended}"
        if not found and version == now:
            return None
        messages = [Message("metrics", orjson.dumps({"step": s}), "train", s) for s in found]
        return News(Message("state", orjson.dumps({"ended": ended})), messages, ended, now)


async def follow(dice: random.Random) -> tuple[str | None, list[int]]:
    await asyncio.sleep(dice.random() * 0.2)
    place, heard = dice.choice(list(PLACES)), []
    leaves_after = dice.choice([10, 1000])
    frames = job_stream.follow(CALLER, "job", place)
    async for frame in frames:
        for at, data in FRAME.findall(frame):
            heard.append(orjson.loads(data)["step"])
            assert heard[-1] == int(at)
        if len(heard) > leaves_after:
            break
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.02)
    await frames.aclose()
    return place, heard


@pytest.mark.parametrize("log_bytes", [1, 200, 500, 10**6])
def test_nobody_misses_a_step_or_hears_it_twice(
    monkeypatch: pytest.MonkeyPatch, log_bytes: int
) -> None:
    run, dice = Run(), random.Random(log_bytes)
    monkeypatch.setattr(job_news, "read", run.read)
    monkeypatch.setattr(job_stream, "REST_S", (0.003, 0.003))
    monkeypatch.setattr(job_stream, "LOG_BYTES", log_bytes)

    async def scene() -> list[tuple[str | None, list[int]]]:
        followers = [asyncio.create_task(follow(dice)) for _ in range(40)]
        for step in range(0, 120, 2):
            run.steps.append(step)
            await asyncio.sleep(dice.random() * 0.006)
        run.ended = True
        return await asyncio.wait_for(asyncio.gather(*followers), 20)

    for place, heard in asyncio.run(scene()):
        sent = [step for step in run.steps if step >= PLACES[place]]
        assert heard == sent[: len(heard)], place
        assert len(heard) > 10 or len(heard) == len(sent)
    assert job_stream._logs == {}

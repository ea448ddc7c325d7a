"""A job's stream: one reader for all followers, and none misses a step or gets it twice."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import job_news, job_stream, sse
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.platform.errors import NotFound, Unavailable
from services.runs import job_events, metrics
from tests import records

CALLER = Caller(seed.ORG_ID, None, records.SCOPES)
STEP = re.compile(rb'"step":(\d+)')
Frames = AsyncGenerator[bytes, None]


@pytest.fixture
def job_id(product: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A job that a worker holds."""
    monkeypatch.setattr(job_stream, "REST_S", (0.02, 0.02))
    with transaction() as session:
        job = records.job(session, CALLER, JobState.QUEUED)
        claims.claim_next(session, "w")
        claims.start(session, job.id, 1)
    yield job.id
    assert job_stream._logs == {}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[job_news.Place]:
    """The places from which Postgres was read, in order."""
    places: list[job_news.Place] = []

    def read(caller: Caller, job_id: str, place: job_news.Place, *known: Any) -> Any:
        places.append(place)
        return original(caller, job_id, place, *known)

    original = job_news.read
    monkeypatch.setattr(job_news, "read", read)
    return places


def write(job_id: str, *steps: int, **values: float) -> None:
    lines = [
        {"step": step, "t": 0.0, "split": "train", "values": {"loss": 1.0} | values}
        for step in steps
    ]
    with transaction() as session:
        metrics.write(session, job_id, 1, lines)


def end(job_id: str) -> None:
    with transaction() as session:
        claims.fail(session, job_id, 1, {"code": "x", "message": "Broken.", "param": None})


def steps(sent: bytes) -> list[int]:
    return [int(step) for step in STEP.findall(sent)]


async def until(frames: Frames, said: bytes) -> bytes:
    """Read frames until `said` was sent; return all bytes."""
    sent = b""
    while said not in sent:
        sent += await asyncio.wait_for(anext(frames), 5)
    return sent


async def to_the_end(frames: Frames) -> bytes:
    return b"".join([frame async for frame in frames])


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_all_who_follow_share_one_reader_and_its_frames(job_id: str, reads: list[Any]) -> None:
    async def scene() -> None:
        followers = [job_stream.follow(CALLER, job_id, None) for _ in range(30)]
        await until(followers[0], b'"running"')
        for each in followers[1:]:
            await until(each, b'"running"')
        assert len(reads) < 10
        write(job_id, 1)
        sent = [await asyncio.wait_for(anext(each), 5) for each in followers]
        assert steps(sent[0]) == [1]
        assert len({id(frame) for frame in sent}) == 1
        end(job_id)
        assert all([b"event: done" in await to_the_end(each) for each in followers])

    run(scene)


def test_who_comes_later_is_told_all_once_and_who_comes_back_the_rest(job_id: str) -> None:
    async def scene() -> None:
        first = job_stream.follow(CALLER, job_id, None)
        write(job_id, 1, 2)
        sent = await until(first, b'"step":2')
        write(job_id, 3)
        sent += await until(first, b'"step":3')
        place = re.findall(rb"id: (\S+)", sent)[-1].decode()
        later = job_stream.follow(CALLER, job_id, None)
        back = job_stream.follow(CALLER, job_id, place.replace(".3.", ".2."))
        assert steps(sent) == steps(await until(later, b'"step":3')) == [1, 2, 3]
        assert steps(await until(back, b'"step":3')) == [3]
        write(job_id, 4)
        end(job_id)
        for each in (first, later, back):
            rest = await to_the_end(each)
            assert steps(rest) == [4]
            assert rest.count(b"Broken.") == 2  # the state's error, and the event
            assert rest.endswith(b"event: done\ndata: {}\n\n")

    run(scene)


def test_who_is_left_behind_by_the_log_reads_alone_and_misses_nothing(
    job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_stream, "LOG_BYTES", 1)

    async def scene() -> None:
        quick = job_stream.follow(CALLER, job_id, None)
        slow = job_stream.follow(CALLER, job_id, None)
        sent = await until(slow, b'"running"')
        for step in range(1, 6):
            write(job_id, step)
            await until(quick, b'"step":%d' % step)
        late = job_stream.follow(CALLER, job_id, None)
        end(job_id)
        assert steps(sent + await to_the_end(slow)) == [1, 2, 3, 4, 5]
        assert steps(await to_the_end(late)) == [1, 2, 3, 4, 5]
        await to_the_end(quick)

    run(scene)


def test_a_place_that_never_was_is_nobody_else_s_loss(job_id: str, reads: list[Any]) -> None:
    async def scene() -> None:
        write(job_id, 1)
        odd = job_stream.follow(CALLER, job_id, "999999.999999.999999")
        await until(odd, b"event: state")
        honest = job_stream.follow(CALLER, job_id, None)
        assert steps(await until(honest, b'"step":1')) == [1]
        write(job_id, 2)
        assert steps(await until(honest, b'"step":2')) == [2]
        end(job_id)
        assert steps(await to_the_end(honest)) == []
        assert steps(await to_the_end(odd)) == []

    run(scene)


def test_silence_is_filled_for_all(job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)

    async def scene() -> None:
        followers = [job_stream.follow(CALLER, job_id, None) for _ in range(3)]
        for each in followers:
            await until(each, sse.HEARTBEAT)
        for each in followers:
            await each.aclose()

    run(scene)


def test_a_read_that_fails_ends_the_streams_and_the_next_one_begins_anew(
    job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        follower = job_stream.follow(CALLER, job_id, None)
        await until(follower, b'"running"')
        with monkeypatch.context() as broken:
            broken.setattr(job_events, "glance", lambda *_, **__: 1 / 0)
            with pytest.raises(Unavailable):
                await to_the_end(follower)
        again = job_stream.follow(CALLER, job_id, None)
        await until(again, b'"running"')
        await again.aclose()

    run(scene)


def test_the_log_ends_with_the_last_who_follows(job_id: str) -> None:
    async def scene() -> None:
        one, other = (job_stream.follow(CALLER, job_id, None) for _ in range(2))
        await until(one, b'"running"')
        await until(other, b'"running"')
        await one.aclose()
        assert job_id in job_stream._logs
        await other.aclose()
        assert job_stream._logs == {}
        assert len(asyncio.all_tasks()) <= 2  # the reader is being cancelled

    run(scene)


def test_over_http_the_end_is_done_and_then_nothing(client: TestClient, job_id: str) -> None:
    write(job_id, 1)
    end(job_id)
    text = client.get(f"/v1/fine_tuning/jobs/{job_id}/stream").text
    assert re.findall(r"event: (\w+)", text)[:2] == ["state", "metrics"]
    assert text.endswith("event: done\ndata: {}\n\ndata: [DONE]\n\n")
    assert client.get("/v1/fine_tuning/jobs/ftjob-no/stream").status_code == 404


def test_somebody_of_another_organisation_is_not_admitted(client: TestClient, job_id: str) -> None:
    async def scene() -> None:
        follower = job_stream.follow(CALLER, job_id, None)
        await until(follower, b'"running"')
        await job_stream.admit(CALLER, job_id)
        with pytest.raises(NotFound):
            await job_stream.admit(Caller("org-other", None, records.SCOPES), job_id)
        await follower.aclose()

    run(scene)

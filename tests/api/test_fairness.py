"""Slow requests of one key do not delay the requests of another key."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import threads
from api.app import create_app
from services.access.callers import Caller
from services.files import base_models, rows, seed
from services.platform import storage
from services.platform.database import transaction
from services.serving import weights
from tests import records
from tests.api.conftest import KEY, OTHER
from tests.api.test_base_models import tuned  # noqa: F401 - a fixture

PATIENCE_S = 15
Client = httpx.AsyncClient


class SlowVerb:
    """Stands in for a verb: blocks until the test sets `let_go`; records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, verb: str, *arguments: str, **_: Any) -> dict[str, Any]:
        self.calls.append(arguments[0])
        assert self.let_go.wait(60)
        if verb == "gguf":
            Path(arguments[1]).write_bytes(b"GGUF")
        return {"ok": True, "problems": []}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowVerb:
    verb = SlowVerb()
    monkeypatch.setattr(base_models, "run_verb", verb)
    monkeypatch.setattr(weights, "run_verb", verb)
    return verb


@asynccontextmanager
async def clients(slow: SlowVerb) -> AsyncIterator[tuple[Client, Client]]:
    """One client per key on the same application; slow verbs end with the block."""
    app = create_app()
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app):
        made = [
            Client(transport=transport, base_url="http://api", headers={"Authorization": key})
            for key in (f"Bearer {KEY}", f"Bearer {OTHER}")
        ]
        try:
            yield made[0], made[1]
        finally:
            slow.let_go.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def all_wait(answers: list[asyncio.Task[httpx.Response]], slow: SlowVerb) -> None:
    """Wait until the first request is running and the others had many event loop turns."""
    await until(lambda: bool(slow.calls))
    for _ in range(500):
        await asyncio.sleep(0)
    assert not any(answer.done() for answer in answers)


def begin(*requests: Awaitable[httpx.Response]) -> list[asyncio.Task[httpx.Response]]:
    return [asyncio.ensure_future(request) for request in requests]


def others_go_on(slow: SlowVerb, ask: Callable[[Client, int], Awaitable[httpx.Response]]) -> None:
    """Send nine slow requests and check that both keys get other answers meanwhile."""

    async def main() -> None:
        async with clients(slow) as (mine, theirs):
            asked = begin(*(ask(mine, n) for n in range(9)))
            await all_wait(asked, slow)
            async with asyncio.timeout(PATIENCE_S):
                assert (await theirs.get("/v1/models")).status_code == 200
                assert (await mine.get("/v1/models")).status_code == 200
            slow.let_go.set()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

    asyncio.run(main())


def register(client: Client, folder: Path, model_id: str) -> Awaitable[httpx.Response]:
    return client.post("/v1/models", json={"id": model_id, "path": str(folder)})


def test_registrations_leave_the_threads_of_other_requests_alone(
    other: None, slow: SlowVerb, tmp_path: Path
) -> None:
    others_go_on(slow, lambda mine, n: register(mine, tmp_path, f"m{n}"))


def test_exports_leave_the_threads_of_other_requests_alone(
    other: None,
    slow: SlowVerb,
    tuned: str,  # noqa: F811
) -> None:
    async def main() -> None:
        path = f"/v1/models/{tuned}/download"
        async with clients(slow) as (mine, theirs):
            asked = begin(*(mine.get(path, params={"format": "gguf"}) for _ in range(9)))
            await all_wait(asked, slow)
            async with asyncio.timeout(PATIENCE_S):
                assert (await theirs.get("/v1/models")).status_code == 200
                # An existing file does not wait for one that is still being made.
                assert (await mine.get(path)).status_code == 200
            slow.let_go.set()
            assert {answer.content for answer in await asyncio.gather(*asked)} == {b"GGUF"}
            assert len(slow.calls) == 1

    asyncio.run(main())


def test_slow_work_of_two_keys_goes_on_side_by_side(
    other: None, slow: SlowVerb, tmp_path: Path
) -> None:
    async def main() -> None:
        async with clients(slow) as (mine, theirs):
            asked = begin(*(register(mine, tmp_path, f"m{n}") for n in range(9)))
            await all_wait(asked, slow)
            folder = tmp_path / "theirs"
            folder.mkdir()
            asked += begin(register(theirs, folder, "theirs"))
            await until(lambda: len(slow.calls) == 2)
            assert slow.calls == [str(tmp_path), str(folder)]
            lanes = threads.pool(threads.MAKING).lanes
            await until(lambda: sum(lane.calls for lane in lanes.values()) == len(asked))
            refused = await register(mine, tmp_path, "one-too-many")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
            slow.let_go.set()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

    asyncio.run(main())


def uploaded(client: Client, _: str) -> Awaitable[httpx.Response]:
    form = {"file": ("pairs.jsonl", b"row")}
    return client.post("/v1/files", files=form, data={"purpose": "fine-tune"})


def downloaded(client: Client, file_id: str) -> Awaitable[httpx.Response]:
    return client.get(f"/v1/files/{file_id}/content")


def looked_at(client: Client, file_id: str) -> Awaitable[httpx.Response]:
    return client.get(f"/v1/files/{file_id}/rows")


@pytest.fixture
def slow_storage(slow: SlowVerb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each use of the storage blocks until the test sets `let_go`."""

    def chunks(key: str) -> Iterator[bytes]:
        slow("chunks", key)
        yield b"row"

    @contextmanager
    def writing(key: str) -> Iterator[io.BytesIO]:
        slow("writing", key)
        yield io.BytesIO()

    @contextmanager
    def select(*_: Any, **__: Any) -> Iterator[rows.Selection]:
        slow("rows", "of a file")
        yield rows.Selection(rows.Lines(io.BytesIO(), None), rows.Wanted(), {}, 0)

    monkeypatch.setattr(storage, "chunks", chunks)
    monkeypatch.setattr(storage, "writing", writing)
    monkeypatch.setattr(rows, "select", select)


@pytest.mark.parametrize("use", [uploaded, downloaded, looked_at])
def test_a_slow_storage_holds_no_thread_of_other_requests(
    other: None,
    slow: SlowVerb,
    slow_storage: None,
    use: Callable[[Client, str], Awaitable[httpx.Response]],
) -> None:
    with transaction() as session:
        file_id = records.file(session, Caller(seed.ORG_ID, None, records.SCOPES)).id

    others_go_on(slow, lambda mine, _: use(mine, file_id))


def test_a_probe_that_waits_for_redis_holds_no_thread_of_requests(
    other: None, slow: SlowVerb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> list[str]:
        slow("missing", "redis")
        return []

    monkeypatch.setattr("services.upkeep.health.missing", missing)
    monkeypatch.setattr("services.upkeep.health.degraded", list)

    others_go_on(slow, lambda mine, _: mine.get("/readyz"))

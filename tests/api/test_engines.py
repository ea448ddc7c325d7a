"""The API reaches engines over their Unix sockets, or over TCP with their keys."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import select

from api import upstream
from models import Engine
from services.files import seed
from services.platform.database import transaction
from services.serving import engines
from services.serving.engines import Address
from tests.api.fake_engine import FakeEngine, deploy
from tests.api.servers import serving
from workers.in_engine.engine_key import KEY_FILE, EngineKey

pytest_plugins = ["tests.api.with_fake_engine"]
ASKED = [{"role": "user", "content": "Does it work?"}]
CHAT = {"model": "acme/steady", "messages": ASKED}


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


def test_an_engine_on_a_unix_socket_answers(product, folder, client):
    upstream._routes.clear()
    with serving(FakeEngine(), folder / "http"):
        deploy(seed.ORG_ID, 0, "steady", host=str(folder / "http"))
        answer = client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200, answer.text


def test_the_pool_of_an_engine_that_is_gone_is_closed(folder):
    async def run() -> None:
        first, second = folder / "first", folder / "second"
        first.touch()
        gone = upstream.client(str(first))
        assert upstream.client(str(first)) is gone
        first.unlink()
        second.touch()
        kept = upstream.client(str(second))
        await asyncio.gather(*upstream._closing)
        assert gone.is_closed
        assert not kept.is_closed

    asyncio.run(run())


@pytest.mark.parametrize(("secret", "status"), [("s" * 32, 200), ("t" * 32, 503)])
def test_an_engine_on_a_network_is_asked_with_its_key(
    product, folder, client, settings_from, monkeypatch, secret, status
):
    upstream._routes.clear()
    (folder / "key").write_text("the key comes with the row")
    monkeypatch.setenv(KEY_FILE, str(folder / "key"))
    guarded = EngineKey(FakeEngine())
    with serving(guarded) as port:
        deploy(seed.ORG_ID, port, "steady")
        settings_from(engine_secret="s" * 32)
        with transaction() as session:
            engine = session.scalars(select(Engine)).one()
        guarded.expected = engines.address(engine).headers["authorization"].encode()
        settings_from(engine_secret=secret)
        answer = client.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == status, answer.text


def test_a_key_is_never_shown():
    assert "hush" not in repr(Address("http://10.0.0.2:1", key="hush"))

"""The middleware inside an engine refuses requests without the engine's key."""

import asyncio
import hashlib
import hmac
import subprocess
import sys

import pytest
from pydantic import ValidationError

from services.platform.errors import Unavailable
from services.platform.settings import Settings
from services.serving import engine_folders, engines
from workers import vllm
from workers.in_engine.engine_key import KEY_FILE, EngineKey

SECRET = "s" * 32


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """Make a function that sends a request; it returns what the server and the client see."""
    key = tmp_path / "key"
    key.write_text("the-key")
    monkeypatch.setenv(KEY_FILE, str(key))

    def ask(kind: str, *headers: tuple[bytes, bytes]) -> tuple[list[str], list[dict]]:
        reached, sent = [], []

        async def server(scope, receive, send) -> None:
            reached.append(scope["type"])

        async def send(message) -> None:
            sent.append(message)

        scope = {"type": kind, "headers": list(headers)}
        asyncio.run(EngineKey(server)(scope, None, send))
        return reached, sent

    return ask


@pytest.mark.parametrize("kind", ["http", "websocket", "a type to come"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer another")],
        [(b"authorization", b"the-key")],
        [(b"x-api-key", b"the-key")],
        [(b"authorization", b"Bearer x"), (b"authorization", b"Bearer the-key")],
    ],
)
def test_nothing_passes_without_the_key(guarded, kind, headers):
    reached, sent = guarded(kind, *headers)
    assert reached == []
    assert sent[0].get("status") == 401 or sent[0]["type"] == "websocket.close"


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_key_opens(guarded, kind):
    assert guarded(kind, (b"authorization", b"Bearer the-key")) == ([kind], [])
    assert guarded("lifespan") == (["lifespan"], [])


def test_an_empty_key_is_none(tmp_path, monkeypatch):
    (tmp_path / "key").write_text(" ")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    with pytest.raises(ValueError, match="empty"):
        EngineKey(lambda scope, receive, send: asyncio.sleep(0))


def test_the_engine_s_interpreter_finds_it_without_our_packages():
    code = f"import sys; sys.path[:0] = [{str(vllm.IN_ENGINE)!r}]; import engine_key"
    subprocess.run([sys.executable, "-IS", "-c", code], check=True)


def test_each_engine_has_a_key_of_its_own_that_no_argument_holds(settings_from, tmp_path):
    settings_from(var=tmp_path, engine_host="127.0.0.2", engine_secret=SECRET)
    host, port = vllm.place("engine-1")
    assert host == "127.0.0.2"
    plan = vllm.Plan("engine-1", "/weights", "base", host, port, "cpu", 0)
    key = engines.key("engine-1")
    assert key
    assert key == hmac.new(SECRET.encode(), b"engine-1", hashlib.sha256).hexdigest()
    assert key != engines.key("engine-2")
    arguments = vllm.command(plan)
    assert arguments[arguments.index("--middleware") + 1] == vllm.MIDDLEWARE
    environment = vllm.engine_environment(plan)
    assert not [text for text in (*arguments, *environment.values()) if key in text]
    file = engine_folders.make("engine-1", key) / engine_folders.KEY
    try:
        assert environment[KEY_FILE] == str(file)
        assert file.read_text() == key
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
    finally:
        engine_folders.remove_all(tmp_path)


def test_the_path_of_a_socket_fits_however_deep_var_is(settings_from, tmp_path):
    settings_from(var=tmp_path / ("deep/" * 50))
    host, port = vllm.place("engine-" + "0" * 24)
    assert port == 0
    # vLLM puts sockets of its processes into the same folder, with names of 36 characters.
    assert len(host) + 36 < 107


def test_a_place_that_another_prepared_is_refused(settings_from, tmp_path):
    settings_from(var=tmp_path)
    place = engine_folders.root(tmp_path)
    place.mkdir(mode=0o700)
    place.chmod(0o777)
    try:
        with pytest.raises(Unavailable, match="others may enter it"):
            engine_folders.make("engine-1", None)
    finally:
        engine_folders.remove_all(tmp_path)


def test_what_a_killed_worker_left_is_removed(settings_from, tmp_path):
    settings_from(var=tmp_path)
    kept, left = (engine_folders.make(f"engine-{n}", None) for n in (1, 2))
    engine_folders.remove_others(["engine-1"])
    assert kept.exists()
    assert not left.exists()
    engine_folders.remove_all(tmp_path)
    assert not kept.parent.exists()


def test_a_network_without_a_secret_is_refused():
    with pytest.raises(ValidationError, match="oddsmith_engine_secret"):
        Settings(engine_host="10.0.0.5")
    Settings(engine_host="10.0.0.5", engine_secret=SECRET)

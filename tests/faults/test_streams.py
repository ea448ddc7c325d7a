"""Rows 15 and 16: a real engine dies while it answers; clients leave while they are answered."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest
from starlette.responses import StreamingResponse

from api import upstream
from api.app import create_app
from api.routes.chat import Relay
from models.deployments import DeploymentStatus
from services.files import seed
from services.platform.database import transaction
from services.processes import process_tree
from services.serving import engines
from tests import records
from tests.api.fake_engine import FakeEngine, deploy, wait_until
from tests.api.servers import serving
from tests.faults import invariants
from tests.faults.conftest import KEY
from tests.serving.conftest import CALLER, Serving
from workers import deployments as worker
from workers import vllm

BASE = "SmolLM2-135M-Instruct"
HEADERS = {"Authorization": f"Bearer {KEY}"}
LONG_ANSWER = [{"role": "user", "content": "Write a long story about the sea."}]
RESETS = 1000
AT_ONCE = 50
# (on, 0 s): closing sends a reset.
RESET = struct.pack("ii", 1, 0)


class Listener(threading.Thread):
    """A client in the middle of a streamed answer; keeps each frame and when it came."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.frames: list[tuple[float, str]] = []

    def run(self) -> None:
        body = {"model": BASE, "messages": LONG_ANSWER, "stream": True, "max_tokens": 2000}
        with httpx.stream(
            "POST", f"{self.url}/v1/chat/completions", json=body, headers=HEADERS, timeout=120
        ) as answer:
            for line in answer.iter_lines():
                if line:
                    self.frames.append((time.monotonic(), line.removeprefix("data: ")))


def hear_the_end(listener: Listener, killed: float) -> float:
    """Seconds from the kill to the error frame, which is the last."""
    listener.join(10)
    assert not listener.is_alive()
    at, last = listener.frames[-1]
    assert json.loads(last)["error"]["code"] == "engine_unavailable"
    assert "[DONE]" not in [text for _, text in listener.frames]
    return at - killed


@pytest.fixture
def engine_room(product: None, tmp_path: Path) -> Iterator[Serving]:
    upstream._routes.clear()
    room = Serving(tmp_path)
    yield room
    for engine in room.live():
        vllm.stop(engine.pid, engine.pid_started)


def start_talking(url: str) -> Listener:
    listener = Listener(url)
    listener.start()
    assert wait_until(lambda: len(listener.frames) > 5, 60)
    return listener


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_row_15_a_killed_engine(engine_room, smollm2, tmp_path, database_url, seen):
    """SIGKILL to a real vLLM in the middle of a stream: its whole tree, then its API server alone.

    Passes when the client gets an error frame within 2 s and no `[DONE]`, the tree is gone within
    2 s, and the engine is started again after a pause. Guards: only a stream that said `[DONE]` is
    ended with it; the shell that leads the engine's session takes the group with it; the pause
    doubles with each crash.
    """
    with transaction() as session:
        records.base_model(session, CALLER, id=BASE, path=str(smollm2))
    (deployment,) = engine_room.deploy(BASE)
    with serving(create_app()) as port:
        url = f"http://127.0.0.1:{port}"
        for whole_tree in (True, False):
            engine_room.settle(deployment, timeout_s=250)
            assert engine_room.deployment(deployment).status == DeploymentStatus.READY
            engine = engine_room.live()[0]
            listener = start_talking(url)
            assert len(process_tree.session(engine.pid)) > 2
            if whole_tree:
                os.killpg(engine.pid, signal.SIGKILL)
            else:
                psutil.Process(engine.pid).children()[0].kill()
            killed = time.monotonic()
            assert wait_until(lambda pid=engine.pid: not process_tree.session(pid), 2)
            gone_s = time.monotonic() - killed
            heard_s = hear_the_end(listener, killed)
            assert heard_s < 2
            worker.step()
            what = "the tree" if whole_tree else "the API server alone"
            seen(
                f"{what}: gone after {gone_s:.1f} s, the client got an error after {heard_s:.2f} s"
            )
        again = engine_room.until(engine_room.live, 30)[0]
    logs = [*tmp_path.rglob("*.log")]
    assert any(engine.id in path.name for path in logs)
    assert invariants.telling([KEY, database_url], logs) == []  # I8
    first = next(e for e in engine_room.engines() if e.id == engine.id)
    pause_s = (again.created_at - first.stopped_at).total_seconds()
    assert pause_s >= 2 * engines.FIRST_PAUSE.total_seconds()  # the second crash
    seen(f"started again after {pause_s:.1f} s")


@dataclass
class Street:
    """The API before a fake engine, whose streams never end by themselves in time."""

    engine: FakeEngine
    engine_port: int
    port: int

    def sockets(self) -> int:
        """The open sockets of this process that lead to the API or on to the engine."""
        ports = {self.engine_port, self.port}
        found = psutil.Process().net_connections("tcp")
        return sum(bool(ports & {end.port for end in (c.laddr, c.raddr) if end}) for c in found)


@pytest.fixture
def street(product: None, settings_from: Callable[..., None]) -> Iterator[Street]:
    # One key asks for all of it.
    settings_from(chats_at_once=0, chat_tokens_per_minute=0, changes_per_minute=0)
    upstream._routes.clear()
    engine = FakeEngine({"slow": "x" * 4_000_000})
    with serving(engine) as engine_port, serving(create_app()) as port:
        deploy(seed.ORG_ID, engine_port, "slow", "stops")
        yield Street(engine, engine_port, port)


def left_of_a_killed_server(leash: str) -> list[int]:
    """What is alive 2 s after the death of a server with a child, as vLLM has its EngineCore."""
    server = "import subprocess; subprocess.run(['sleep', '60'])"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", leash, "engine", sys.executable, "-c", server], start_new_session=True
    )
    leader = psutil.Process(shell.pid)
    try:
        assert wait_until(lambda: len(leader.children(recursive=True)) == 2)
        leader.children()[0].kill()
        wait_until(lambda: not process_tree.session(shell.pid), 2)
        return [process.pid for process in process_tree.session(shell.pid)]
    finally:
        vllm.stop(shell.pid, vllm.start_ticks(shell.pid))


@pytest.mark.faults
def test_row_15_needs_the_shell_around_the_engine(seen):
    """Only the server of an engine is killed, and the shell that leads the session does nothing."""
    assert not left_of_a_killed_server(vllm.LEASH)
    left = left_of_a_killed_server('"$@"; sleep 60')
    assert left
    seen(f"without it {len(left)} processes were left")


@pytest.mark.faults
def test_row_15_needs_the_engine_s_own_done(street, monkeypatch, seen):
    """An engine's stream breaks off, and the API takes every end for a complete answer."""

    async def believing(_: Any, response: httpx.Response) -> AsyncIterator[bytes]:
        async for chunk in response.aiter_raw():
            for frame in filter(None, chunk.split(b"\n\n")):
                yield frame

    body = {"model": "acme/stops", "messages": LONG_ANSWER, "stream": True}

    def sent() -> str:
        url = f"http://127.0.0.1:{street.port}/v1/chat/completions"
        return httpx.post(url, json=body, headers=HEADERS).text

    assert "[DONE]" not in sent()
    monkeypatch.setattr("api.upstream.frames", believing)
    assert "[DONE]" in sent()
    seen("without it a broken stream ended with [DONE]")


# --- a client leaves ------------------------------------------------------------------------------


def ask_for_a_stream(port: int) -> socket.socket:
    """A connection that has received the beginning of an answer."""
    body = json.dumps({"model": "acme/slow", "messages": LONG_ANSWER, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(head.encode() + body)
    received = b""
    while b"data: " not in received:
        more = client.recv(4096)
        assert more, received
        received += more
    assert received.startswith(b"HTTP/1.1 200")
    return client


def ask_at_once(street: Street) -> list[socket.socket]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask_for_a_stream, [street.port] * AT_ONCE))


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def leave_often(street: Street, times: int) -> float:
    """Reset streams, some at once; returns the longest time until the engine had let all go."""
    longest_s = 0.0
    for _ in range(times // AT_ONCE):
        clients = ask_at_once(street)
        assert street.engine.open == AT_ONCE
        for client in clients:
            reset(client)
        left = time.monotonic()
        assert wait_until(lambda: street.engine.open == 0, 5)
        longest_s = max(longest_s, time.monotonic() - left)
    return longest_s


@pytest.mark.faults
def test_row_16_clients_leave(street, seen):
    """A client leaves in the middle of a stream, and 1,000 connections are reset.

    Passes when the engine's side is closed within 1 s each time, and sockets and the engine's slots
    are back at what they were. Guard: the relay watches the client's connection, and closes the
    engine's answer whatever happens to the client's.
    """
    with ask_for_a_stream(street.port):
        pass
    assert wait_until(lambda: street.engine.open == 0, 1)
    before = street.sockets()
    longest_s = leave_often(street, RESETS)
    assert longest_s < 1
    assert wait_until(lambda: street.sockets() <= before, 10)
    after = street.sockets()
    seen(
        f"{RESETS} resets, let go within {longest_s:.2f} s; {before} sockets before, {after} after"
    )


@pytest.mark.faults
def test_row_16_needs_the_ear(street, monkeypatch, seen):
    """The same, and the relay doesn't watch the client's connection."""

    async def silence() -> Any:
        await anyio.sleep_forever()

    async def deaf(relay: Relay, scope: Any, _: Any, send: Any) -> None:
        await StreamingResponse.__call__(relay, scope, silence, send)

    monkeypatch.setattr(Relay, "__call__", deaf)
    clients = ask_at_once(street)
    for client in clients:
        reset(client)
    assert not wait_until(lambda: street.engine.open == 0, 1)
    seen(f"without it {street.engine.open} of {AT_ONCE} answers went on after 1 s")

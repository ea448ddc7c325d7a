"""Limits on a connection before the application sees a request: size, speed and number."""

import asyncio
import json
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

from api.connections import MAX_HEAD_BYTES, Connection
from api.pending import Pending, address_of, max_connections
from cli.stack import parts
from cli.stack.ports import any_free
from tests.api.fake_engine import wait_until
from tests.api.servers import serving

START = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PROMISED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
LONG = b"x" * 16 * MAX_HEAD_BYTES
DESCRIPTORS = 400


class Counting:
    """Answers with the length of the body; records the requests and counts disconnects."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.asked.append(scope["path"])
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            self.left += 1
            return
        while not self.may_answer.is_set():
            await asyncio.sleep(0.01)
        await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.fixture
def counting(
    settings_from: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Counting, int]]:
    """The application and its port, with short deadlines."""
    settings_from(headers_s=0.3, body_gap_s=0.5, body_bytes_per_s=1000)
    monkeypatch.setattr(Pending, "sweep_s", 0.1)
    app = Counting()
    with serving(app, http=Connection, lifespan="off") as port:
        yield app, port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def ask(port: int, *pieces: bytes) -> bytes:
    with connect(port) as client:
        for piece in pieces:
            client.sendall(piece)
        return read_all(client)


def error_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert b"x-request-id: req_" in head.lower()
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return int(head.split()[1]), error


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([START, b"X-Long: ", LONG], id="an endless line"),
        pytest.param([START, LONG], id="an endless name"),
        pytest.param([START, b"a: b\r\n" * 2000, b"\r\n"], id="many headers"),
        pytest.param([b"GET /", LONG, b" HTTP/1.1\r\n\r\n"], id="a long URL"),
        pytest.param([b"\r\n" * MAX_HEAD_BYTES], id="empty lines"),
        pytest.param([CHUNKED, b"1;x=", LONG], id="an endless chunk extension"),
        pytest.param([CHUNKED, b"1\r\nx\r\n0\r\nX-Long: ", LONG], id="an endless trailer"),
        pytest.param([CHUNKED, b"1\r\nx\r\n0\r\n", b"a: b\r\n" * 2000], id="many trailers"),
    ],
)
def test_a_head_that_is_too_large_is_431(counting: Any, pieces: list[bytes]) -> None:
    app, port = counting
    status, error = error_of(ask(port, *pieces))
    assert (status, error["code"]) == (431, "headers_too_large")
    assert wait_until(lambda: app.left == len(app.asked))  # none was answered


def test_a_head_just_below_the_limit_is_served(counting: Any) -> None:
    head = START + b"X-Long: " + b"x" * (MAX_HEAD_BYTES - 500) + b"\r\nConnection: close\r\n\r\n"
    assert ask(counting[1], head).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("request_", [b"\x16\x03\x01\x00", b"GET / HTTP/1.1\r\nbad line\r\n\r\n"])
def test_what_is_no_http_gets_our_error(counting: Any, request_: bytes) -> None:
    status, error = error_of(ask(counting[1], request_))
    assert (status, error["code"]) == (400, "bad_request")


def test_a_request_behind_an_unanswered_one_is_dropped(counting: Any) -> None:
    """No pipelined request is queued; the answer in progress is complete and the last one."""
    app, port = counting
    app.may_answer.clear()
    with connect(port) as client:
        client.sendall((START + b"\r\n") * 1000)
        assert wait_until(lambda: app.asked)
        app.may_answer.set()
        received = read_all(client)
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.endswith(b"\r\n\r\n0")
    assert app.asked == ["/"]


def test_a_websocket_is_answered_as_http(counting: Any) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert ask(counting[1], START + upgrade + key).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [START, b"G", PROMISED, PROMISED + b"x" * 10])
def test_who_stops_in_the_middle_is_answered_408(counting: Any, begun: bytes) -> None:
    app, port = counting
    status, error = error_of(ask(port, begun))
    assert (status, error["code"]) == (408, "request_timeout")
    assert wait_until(lambda: app.left == len(app.asked))


def trickle(client: socket.socket, piece: bytes, pause_s: float, seconds: float) -> bytes:
    """Send a piece repeatedly; return the first bytes that arrive, if any."""
    client.settimeout(pause_s)
    for _ in range(int(seconds / pause_s)):
        with suppress(TimeoutError):
            return client.recv(65536)
        client.sendall(piece)
    return b""


@pytest.mark.slow
def test_a_trickled_body_is_answered_408_and_a_slow_one_is_read(counting: Any) -> None:
    _, port = counting
    with connect(port) as client:
        client.sendall(PROMISED)
        assert error_of(trickle(client, b"x", 0.1, 8))[0] == 408
    with connect(port) as client:
        client.sendall(PROMISED)
        assert trickle(client, b"x" * 1000, 0.1, 1.5) == b""
        client.sendall(b"x" * 100_000)
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_an_answered_connection_that_sends_nothing_whole_is_closed(counting: Any) -> None:
    """Any byte ends uvicorn's keep-alive wait; then our deadline for the headers applies."""
    with connect(counting[1]) as client:
        client.sendall(START + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(b"\r\n")
        assert error_of(read_all(client))[0] == 408


def test_an_address_has_few_connections_without_a_request(
    counting: Any, settings_from: Callable[..., None]
) -> None:
    """The oldest are closed; a connection with a request in progress does not count."""
    app, port = counting
    settings_from(headers_s=1000, pending_per_address=3)
    app.may_answer.clear()
    with ExitStack() as stack:
        served = stack.enter_context(connect(port))
        served.sendall(START + b"\r\n")
        assert wait_until(lambda: app.asked)
        silent = [stack.enter_context(connect(port)) for _ in range(5)]
        assert [read_all(each) for each in silent[:2]] == [b"", b""]
        app.may_answer.set()
        for each in (served, *silent[2:]):
            each.sendall(START + b"\r\n" if each is not served else b"")
            assert each.recv(100).startswith(b"HTTP/1.1 200")


def test_addresses() -> None:
    assert address_of("192.0.2.7") == "192.0.2.7"
    assert address_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert address_of("2001:db8::1:2:3:4") == address_of("2001:db8::9") == "2001:db8::/64"
    assert address_of("fe80::1%eth0") == "fe80::/64"


@pytest.fixture
def few_descriptors(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The API as `oddsmith up` starts it, with 400 descriptors and short deadlines."""
    port = any_free()
    url = f"http://127.0.0.1:{port}"
    lowered = {"HEADERS_S": "2", "BODY_GAP_S": "2", "PENDING_PER_ADDRESS": "1000"}
    env = os.environ | {f"ODDSMITH_{name}": value for name, value in lowered.items()}
    env |= {"ODDSMITH_API_URL": url, "ODDSMITH_VAR": str(tmp_path)}
    with (tmp_path / "api.log").open("wb") as log:
        process = subprocess.Popen(
            parts.api(env, "127.0.0.1", port).argv, cwd=parts.ROOT, env=env,
            stdout=log, stderr=log,
        )  # fmt: skip
    # Set before the first connection, when the process reads its limit.
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    assert wait_until(lambda: parts.answers(f"{url}/healthz"), 60)
    yield url, psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.mark.stack
def test_slow_clients_keep_none_waiting_and_are_closed(few_descriptors: Any) -> None:
    """More silent sockets are opened than the process may have descriptors."""
    url, process = few_descriptors
    port = int(url.rpartition(":")[2])
    another = httpx.HTTPTransport(local_address="127.0.0.2")
    with ExitStack() as stack, httpx.Client(transport=another, base_url=url, timeout=10) as client:
        for begun, count in ((b"", 300), (START, 50), (PROMISED + b"x", 50), (b"", 100)):
            for _ in range(count):
                stack.enter_context(connect(port)).sendall(begun)
            assert client.get("/healthz").status_code == 200
        assert len(process.net_connections()) <= max(DESCRIPTORS, max_connections())
        client.close()
        assert wait_until(lambda: len(process.net_connections()) == 1, 30)  # the listening one
        assert parts.answers(f"{url}/healthz")

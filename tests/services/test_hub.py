"""A download from a hub that is slow or redirects, and the addresses that we may connect to."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.files import hub
from services.platform import egress
from services.platform.errors import Conflict, DiskFull, Invalid, Unavailable
from tests.processes import those

COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 5000, "onnx/model.json": b"{}"}


class Hub(ThreadingHTTPServer):
    """The part of a hub that a download needs; a test sets its faults."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.commit: str | None = COMMIT
        self.redirect: str | None = None
        self.sizes = {name: len(content) for name, content in FILES.items()}
        self.go_on = threading.Event()  # until it is set, the weights are sent only in part
        self.stopped = threading.Event()


class Answers(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append(path)
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": "0"}
                for name, content in FILES.items()
            ]
            self.answer(json.dumps(tree).encode(), {"Content-Type": "application/json"})
            return
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": size} for name, size in hub.sizes.items()]
            found = {"id": "acme/tiny", "sha": hub.commit, "siblings": siblings}
            self.answer(json.dumps(found).encode(), {"Content-Type": "application/json"})
            return
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if hub.redirect and name == "model.safetensors" and self.command == "GET":
            self.send_response(302)
            self.send_header("Location", hub.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        etag = hashlib.sha1(FILES[name]).hexdigest()
        self.answer(FILES[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def answer(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[:4000])
        self.wfile.flush()
        if len(content) >= 5000:
            self.server.stopped.set()
            self.server.go_on.wait(60)
            self.wfile.write(content[4000:])


@pytest.fixture
def a_hub(monkeypatch: pytest.MonkeyPatch, settings_from: Any) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    settings_from(egress_allow="", download_bytes_s=10_000)
    monkeypatch.setattr(hub, "POLL_S", 0.02)
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def children() -> list[psutil.Process]:
    mine = psutil.Process().children()
    return those(mine, lambda process: "services.files.hub" in " ".join(process.cmdline()))


@pytest.mark.slow
def test_a_commit_is_fetched_without_what_no_loader_reads(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.go_on.set()
    assert hub.resolve("acme/tiny", "main") == COMMIT
    hub.download("acme/tiny", COMMIT, tmp_path / "model")
    found = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir() if p.is_file()}
    assert found == {name: content for name, content in FILES.items() if "/" not in name}
    resolved = [path for path in a_hub.asked if "/resolve/" in path]
    assert resolved
    assert all(f"/resolve/{COMMIT}/" in path for path in resolved)


@pytest.mark.parametrize("commit", [None, "main", "c0ffee", COMMIT + "0", "../" + COMMIT])
def test_only_a_whole_commit_is_taken(a_hub: Hub, tmp_path: Path, commit: str | None) -> None:
    a_hub.commit = commit
    with pytest.raises(Unavailable, match="40 hex digits"):
        hub.resolve("acme/tiny", None)
    with pytest.raises(Unavailable, match="40 hex digits"):
        hub.download("acme/tiny", commit, tmp_path)


def test_a_hub_that_hardly_sends_is_left(
    a_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "WINDOW_S", 0)
    monkeypatch.setattr(hub, "_size_bytes", lambda _: 100 if a_hub.stopped.is_set() else 10**9)
    with pytest.raises(Unavailable, match="came at less than 10000 B/s") as slow:
        hub.download("acme/tiny", COMMIT, tmp_path / "model")
    assert slow.value.code == "hub_too_slow"
    assert not children()


def test_a_download_that_takes_too_long_is_ended(
    a_hub: Hub, tmp_path: Path, settings_from: Any
) -> None:
    settings_from(download_s=0.1)
    with pytest.raises(Unavailable, match="took longer than 0 s"):
        hub.download("acme/tiny", COMMIT, tmp_path / "model")
    assert not children()


def test_a_download_ends_with_the_wish_for_it(a_hub: Hub, tmp_path: Path) -> None:
    def deleted() -> None:
        if a_hub.stopped.is_set():
            assert children()
            raise Conflict("It was deleted.")

    with pytest.raises(Conflict, match="deleted"):
        hub.download("acme/tiny", COMMIT, tmp_path / "model", deleted)
    assert not children()


def test_a_model_larger_than_the_disk_is_not_begun(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.sizes["model.safetensors"] = 2**60
    with pytest.raises(DiskFull, match="free some space there"):
        hub.fetch("acme/tiny", COMMIT, tmp_path / "model")
    assert not any("/resolve/" in path for path in a_hub.asked)


@pytest.mark.slow
def test_a_hub_can_not_send_us_into_the_private_network(a_hub: Hub, tmp_path: Path) -> None:
    inside = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    a_hub.redirect = f"http://127.0.0.1:{inside.server_port}/secret"
    with pytest.raises(Invalid, match="ODDSMITH_EGRESS_ALLOW") as refused:
        hub.download("acme/tiny", COMMIT, tmp_path / "model")
    assert refused.value.code == "egress_refused"
    inside.socket.settimeout(0)
    with pytest.raises(BlockingIOError):
        inside.socket.accept()
    inside.server_close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0",
        "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_unless_listed(address: str, settings_from: Any) -> None:
    settings_from(egress_allow="")
    assert not egress.is_allowed("mirror.example", address)
    settings_from(egress_allow="other.example, MIRROR.example")
    assert egress.is_allowed("mirror.example", address)
    settings_from(egress_allow="0.0.0.0/0,::/0")
    assert egress.is_allowed("mirror.example", address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str, settings_from: Any) -> None:
    settings_from(egress_allow="")
    assert egress.is_allowed("example.com", address)


def test_a_name_is_resolved_once(settings_from: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolved address is used: a name can't be public at the check and private afterwards."""
    settings_from(egress_allow="")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []
    tried: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", ("203.0.114.7", port))]

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> None:
        tried.append(address[0])
        raise OSError("refused by the test")

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    monkeypatch.setattr("socket.create_connection", connect)
    with egress.client() as client, pytest.raises(egress.httpx2.ConnectError):
        client.get("http://rebinding.example/")
    assert (asked, tried) == (["rebinding.example"], ["203.0.114.7"])

"""`oddsmith doctor`: which protections are in force, as text and as JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.commands import doctor
from cli.stack.files import write_private
from services.processes import sandbox
from tests.cli.conftest import Oddsmith

LISTENING = """
import socket, sys
with socket.create_server((sys.argv[1], 0)):
    print("listening", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def var(tmp_path: Path, settings_from: Callable[..., None]) -> Path:
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    write_private(folder / "secrets.json", "{}")
    settings_from(var=folder)
    return folder


def report(oddsmith: Oddsmith) -> tuple[int, dict[str, dict[str, Any]]]:
    done = oddsmith("doctor", "--json")
    return done.exit_code, {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_what_holds_is_said_in_80_columns(var, oddsmith):
    done = oddsmith("doctor")
    assert max(map(len, done.stdout.splitlines())) <= 80
    expected = "NO" if sandbox.why_not() else "ok"
    assert f"{expected}  Sandbox   " in done.stdout
    assert "ok  Secrets   " in done.stdout
    assert "--  Listeners no stack runs on this folder." in done.stdout


def test_a_secret_that_others_may_read_is_an_error(var, oddsmith):
    (var / "secrets.json").chmod(0o644)
    code, found = report(oddsmith)
    assert code == 1
    assert found["Secrets"]["ok"] is False
    assert f"chmod go= {var / 'secrets.json'}" in found["Secrets"]["remedy"]


def test_the_floor_is_an_error_where_no_container_is_around(var, oddsmith, settings_from):
    settings_from(sandbox="floor")
    code, found = report(oddsmith)
    assert code == 1
    assert found["Sandbox"]["ok"] is False
    assert "floor" in found["Sandbox"]["what"]


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def listening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stack of one process, which listens on the given address."""
    command = [sys.executable, "-c", LISTENING, request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        monkeypatch.setattr(doctor, "_tree", lambda _: [psutil.Process(process.pid)])
        yield request.param


def test_a_listener_beyond_loopback_is_an_error(var, oddsmith, listening):
    _, found = report(oddsmith)
    assert found["Listeners"]["ok"] is (listening == "127.0.0.1")
    assert (listening in found["Listeners"]["what"]) is (listening != "127.0.0.1")

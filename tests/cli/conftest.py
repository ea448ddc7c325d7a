"""A fake API on loopback, and the `oddsmith` command pointed at it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.fake_api import KEY, FakeApi, serve

Oddsmith = Callable[..., Result]
# The time at the beginning of a line of a log.
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeApi]:
    fake = FakeApi()
    server = serve(fake)
    monkeypatch.setenv("ODDSMITH_API_URL", fake.url)
    monkeypatch.setenv("ODDSMITH_API_KEY", KEY)
    monkeypatch.setenv("ODDSMITH_VAR", str(tmp_path / "var"))
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def oddsmith() -> Oddsmith:
    """Call the command with arguments and text for stdin."""

    def call(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return call

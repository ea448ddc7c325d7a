"""The client: finding the stack, reading pages, error messages and exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.client.http import connect
from cli.main import COMMANDS
from cli.stack.folder import Folder, Running
from cli.view.output import CommandError, ExitCode
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import KEY, FakeApi, error, listed


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 4), (401, 5), (403, 5), (404, 4), (409, 4), (422, 4), (500, 1), (503, 3)],
)
def test_a_refusal_shows_the_sentence_with_its_param(
    api: FakeApi, oddsmith: Oddsmith, status: int, code: int
) -> None:
    api.on("GET /v1/files", (status, error("The file is gone.", "file_id")))
    result = oddsmith("files", "list")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "error: The file is gone. (param: file_id)\n"


def test_json_holds_the_error_object(api: FakeApi, oddsmith: Oddsmith) -> None:
    result = oddsmith("files", "show", "file-9", "--json")
    assert result.exit_code == ExitCode.REFUSED
    assert json.loads(result.stdout)["error"]["message"] == "There is no /v1/files/file-9."


def test_an_answer_that_is_no_error_object_still_ends_in_a_sentence(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    api.on("GET /v1/files", (500, b"<html>"))
    result = oddsmith("files", "list")
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr == "error: The API answered 500 without an explanation.\n"


def test_no_stack_says_how_to_start_one(
    api: FakeApi, oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ODDSMITH_API_URL")
    result = oddsmith("jobs", "list")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "oddsmith up" in result.stderr


def test_nothing_that_answers_is_told_from_a_refusal(
    api: FakeApi, oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODDSMITH_API_URL", "http://127.0.0.1:9")
    result = oddsmith("jobs", "list")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "Nothing answers at http://127.0.0.1:9" in result.stderr


def test_the_running_stack_is_found_by_its_folder(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ODDSMITH_API_URL")
    monkeypatch.delenv("ODDSMITH_API_KEY")
    api.on("GET /v1/models", listed())
    folder = Folder()
    folder.make()
    with folder.lock(), folder.announce(Running(api.url, KEY, os.getpid())):
        assert connect().items("/v1/models") == []


def test_the_key_of_this_folder_is_sent_to_no_other_stack(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ODDSMITH_API_KEY")
    with pytest.raises(CommandError, match="ODDSMITH_API_KEY"):
        connect()


def test_lists_are_read_to_their_end_or_limit(api: FakeApi) -> None:
    names = [{"id": f"m{i}"} for i in range(250)]

    def page(request):
        start = next(
            (i + 1 for i, m in enumerate(names) if m["id"] == request.query.get("after")), 0
        )
        size = int(request.query["limit"])
        return {**listed(*names[start : start + size]), "has_more": start + size < len(names)}

    api.on("GET /v1/models", page)
    assert connect().items("/v1/models") == names
    assert connect().items("/v1/models", limit=120) == names[:120]


@pytest.mark.parametrize("command", ["files", "jobs", "models", "keys", "chat", "demo"])
def test_help_waits_for_nothing_heavy(command: str) -> None:
    heavy = "{'httpx', 'openai', 'pydantic', 'sqlalchemy', 'torch'}"
    code = f"import sys, cli.main, {COMMANDS[command][0]}; print({heavy} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"

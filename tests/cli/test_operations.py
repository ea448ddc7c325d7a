"""Errors of the API name operations; the command line tells the commands instead."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api.errors import HTTP_ERRORS
from cli.client.operations import COMMANDS, OPERATION, command_for, in_commands, reason
from cli.main import app
from cli.stack.parts import ROOT
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, Stream, frame, listed, state

# Where sentences for users are written.
ROOMS = ("api", "services", "workers", "evals", "models", "orpo")
# Calls whose texts describe the API in its own document.
DOCUMENT = {"Field", "Query", "Header", "Form", "File", "Router", "HTTPBearer"}
PLACE = "x-1"


def sentences() -> Iterator[tuple[str, str]]:
    """Each text in the code that holds a path of the API and may be shown: (where, text).

    What a text interpolates is replaced by `PLACE`.
    """
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            tree = ast.parse(path.read_text())
            for node, text in texts(tree):
                if re.search(r"/v1/[a-z]", text):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def texts(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """The texts below a node, but for docstrings, decorators and descriptions of fields."""
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else PLACE for part in node.values)
        yield node, "".join(map(str, parts))
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node, node.value
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) in DOCUMENT:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    for name, value in ast.iter_fields(node):
        if name == "decorator_list":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from texts(child)


# A path without a method: what calls an engine, or recognises a request.
NOT_SHOWN = re.compile(r"(api/upstream|api/limits|workers/(engine_client|sides))\.py:")
MESSAGES = {
    where: text
    for where, text in sentences()
    if not (NOT_SHOWN.match(where) and not OPERATION.search(text))
}


def test_the_messages_of_the_code_are_found() -> None:
    assert len(MESSAGES) > 15
    found = {operation for text in MESSAGES.values() for operation in OPERATION.findall(text)}
    assert {"GET /v1/judges", "POST /v1/files", f"GET /v1/files/{PLACE}/report"} <= found


@pytest.mark.parametrize("where", MESSAGES)
def test_a_message_names_no_path_to_a_user_of_the_command_line(where: str) -> None:
    text = MESSAGES[where]
    operations = OPERATION.findall(text)
    assert operations, f"{where} names a path without its method: {text}"
    for operation in operations:
        patterns = (re.escape(known).replace(r"\{id\}", ".+") for known in COMMANDS)
        assert any(re.fullmatch(p, operation) for p in patterns), f"COMMANDS lacks {operation}"
    is_bare = text in operations  # what `no_such` puts into its sentence
    told = in_commands(f"It is not there. List yours with {text}." if is_bare else f"No. {text}")
    assert "/v1" not in told


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS.values() if c}))
def test_each_command_that_is_named_exists(command: str) -> None:
    words = [word for word in command.split() if word.islower() and word != "{id}"]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Usage: root {' '.join(words)}" in re.sub(r"\s+", " ", result.output)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "No judge has the id `x`. List yours with GET /v1/judges.",
            "No judge has the id `x`. List yours with `oddsmith judges list`.",
        ),
        (
            "The file 'f' has no usable row: none. GET /v1/files/file-1/report lists what was.",
            "The file 'f' has no usable row: none. `oddsmith files report file-1` lists what was.",
        ),
        (
            "Add it with POST /v1/models, or see GET /v1/models.",
            "Add it with `oddsmith models add ID_OR_FOLDER`, or see `oddsmith models list`.",
        ),
        (
            "Deploy it once GET /v1/models/org/base-1.5 says that it is ready.",
            "Deploy it once `oddsmith models show org/base-1.5` says that it is ready.",
        ),
        (
            "Vote on the page Chat. POST /v1/comparisons/{id}/vote votes, too.",
            "Vote on the page Chat.",
        ),
        ("No part has it. GET /v1/uploads/upload_1/parts lists those.", "No part has it."),
        ("A newer API names it. See GET /v1/novelties.", "A newer API names it."),
        ("An address such as https://host/v1.\nTwo  lines.", None),
    ],
)
def test_operations_become_commands(message: str, told: str | None) -> None:
    assert in_commands(message) == (message if told is None else told)


def test_an_id_can_add_nothing_to_a_command() -> None:
    assert command_for("GET /v1/models/a;rm") == "models show 'a;rm'"
    assert command_for("GET /v1/files//report") is None


def test_an_error_object_is_told_with_its_hint() -> None:
    error = {"message": "It broke.", "hint": "Try again with POST /v1/deployments."}
    assert reason(error) == "It broke. Try again with `oddsmith models deploy MODEL`."
    assert (reason(None), reason({}), reason("It broke.")) == ("", "", "It broke.")


REFUSED = {"error": {
    "message": "No job has the id `j`. List yours with GET /v1/fine_tuning/jobs.",
    "type": "invalid_request_error", "param": "fine_tuning_job_id", "code": "not_found",
}}  # fmt: skip


def test_a_refusal_names_the_command_and_its_json_is_the_api_s_own(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    api.on("GET /v1/fine_tuning/jobs/j", (404, REFUSED))
    result = oddsmith("jobs", "show", "j", "--json")
    assert "List yours with `oddsmith jobs list`. (param: fine_tuning_job_id)" in result.stderr
    assert json.loads(result.stdout) == REFUSED


@pytest.mark.parametrize("status", [404, 405])
def test_an_api_of_another_version_is_called_that(
    api: FakeApi, oddsmith: Oddsmith, status: int
) -> None:
    message, code = HTTP_ERRORS[status]
    refused = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    api.on("GET /v1/judges", (status, {"error": refused}))
    said = oddsmith("judges", "list").stderr
    assert f"The stack at {api.url} has no operation for this command" in said
    assert "openapi.json" not in said


STORED = {"message": "'m' is not deployed: deploy it first with POST /v1/deployments."}
TOLD = "deploy it first with `oddsmith models deploy MODEL`."


def stored_errors() -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Commands that show an error which the API has stored, and what the API answers."""
    job = {
        "id": "ftjob-1", "status": "failed", "error": STORED, "model": "m", "training_file": "f",
        "created_at": 0, "finished_at": None,
    }  # fmt: skip
    event = {"id": "e", "created_at": 0, "level": "warn", **STORED}
    failed = [frame(state("failed", error=STORED), "state"), frame({}, "done")]
    deployment = {"id": "deploy-1", "model": "m", "base_model": "m", "status": "failed"}
    path = "/v1/fine_tuning/jobs/ftjob-1"
    return {
        "job": (["jobs", "show", "ftjob-1"], {f"GET {path}": job}),
        "events": (["jobs", "events", "ftjob-1"], {f"GET {path}/events": listed(event)}),
        "stream": (["jobs", "watch", "ftjob-1"], {f"GET {path}/stream": Stream(iter(failed))}),
        "deployment": (
            ["deployments", "show", "deploy-1"],
            {"GET /v1/deployments/deploy-1": {**deployment, "error": STORED}},
        ),
        "side": (
            ["chat", "a", "--prompt", "Who?"],
            {"POST /v1/chat/completions": Stream(iter([frame({"error": STORED})]))},
        ),
    }


@pytest.mark.parametrize("kind", stored_errors())
def test_stored_errors_name_commands_too(api: FakeApi, oddsmith: Oddsmith, kind: str) -> None:
    arguments, answers = stored_errors()[kind]
    for route, answer in answers.items():
        api.on(route, lambda _, answer=answer: answer)
    result = oddsmith(*arguments)
    assert TOLD in re.sub(r"\s+", " ", result.stdout + result.stderr)


def test_no_command_prints_an_operation() -> None:
    """The command line's own sentences name commands."""
    shown = [
        f"{path.name}:{node.lineno}: {text}"
        for path in sorted((ROOT / "cli").rglob("*.py"))
        if path != Path(ROOT / "cli/client/operations.py")
        for node, text in texts(ast.parse(path.read_text()))
        if OPERATION.search(text)
    ]
    assert shown == []


def test_help_of_no_command_names_an_operation() -> None:
    group = get_command(app)
    for noun in group.list_commands(None):  # pyright: ignore[reportAttributeAccessIssue]
        assert not OPERATION.search(CliRunner().invoke(app, [noun, "--help"]).output)

"""`oddsmith demo` against a fake API: its order, its numbers, and when it stops the stack."""

import json
import os
import subprocess
from collections.abc import Iterator
from signal import SIGTERM

import pytest

from cli.client.sse import ServerEvent
from cli.commands import watch
from cli.demo import background, trial
from cli.stack.folder import Folder, Running
from cli.view.checklist import Step
from cli.view.output import CommandError
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import (
    KEY,
    TUNED,
    FakeApi,
    Stream,
    example_world,
    job_frames,
    state,
)

RUN_OVER = "GET /v1/fine_tuning/jobs/ftjob-1/stream"


@pytest.fixture
def folder(api: FakeApi) -> Folder:
    """A folder in which the base model is already unpacked."""
    folder = Folder()
    folder.make()
    (folder.path / "models" / trial.BASE_MODEL).mkdir(parents=True)
    example_world(api)
    return folder


@pytest.fixture
def stack(api: FakeApi, folder: Folder) -> Iterator[None]:
    """A stack that is running before the demo starts."""
    with folder.lock(), folder.announce(Running(api.url, KEY, os.getpid())):
        yield


@pytest.fixture
def started(api: FakeApi, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace `oddsmith up` and `down`; return the list of calls."""
    called: list[str] = []
    locked = folder.lock()

    def up(*_: object) -> Running:
        called.append("up")
        locked.__enter__()
        return Running(api.url, KEY, os.getpid())

    def down(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        called.append(argv[-1])
        locked.__exit__(None, None, None)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(background, "start", up)

    monkeypatch.setattr(subprocess, "run", down)
    return called


def test_the_demo_writes_what_it_found(
    folder: Folder, stack: None, oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODDSMITH_INSTALL_S", "61.5")
    result = oddsmith("demo")
    assert result.exit_code == 0, result.output
    found = json.loads((folder.path / "demo.json").read_text())
    assert set(found["seconds"]) == {"install", "start", "train", "deploy", "first_token"}
    assert found["seconds"]["install"] == 61.5
    assert (found["pairs"], found["steps"], found["job_id"]) == (172, 20, "ftjob-1")
    assert (found["accuracy_before"], found["accuracy_after"]) == (0.5, 0.95)
    assert (found["style_before"], found["style_after"]) == (0.0, 1.0)
    assert len(found["answers"]) == 3
    assert set(found["answers"][0]) == {"prompt", "base", "tuned"}
    assert found["model"] == TUNED
    assert "✓ Train with ORPO" in result.stdout
    assert "\x1b" not in result.stdout


def test_json_alone_goes_to_stdout(folder: Folder, stack: None, oddsmith: Oddsmith) -> None:
    result = oddsmith("demo", "--json")
    assert json.loads(result.stdout)["model"] == TUNED
    assert "✓ Train with ORPO" in result.stderr


def test_a_stack_that_was_started_is_stopped(started: list[str], oddsmith: Oddsmith) -> None:
    assert oddsmith("demo", "--once").exit_code == 0
    assert started == ["up", "down"]


def test_a_job_that_fails_stops_the_stack_and_says_why(
    api: FakeApi, started: list[str], oddsmith: Oddsmith
) -> None:
    failed = state("failed", 3, 20, error={"message": "The loss was NaN."})
    api.on(RUN_OVER, lambda _: Stream(job_frames(3, 0, failed)))
    result = oddsmith("demo")
    assert result.exit_code == 1
    assert "Run ftjob-1 failed. The loss was NaN." in result.stderr
    assert "✗ Train with ORPO" in result.stdout
    assert started == ["up", "down"]


def test_an_interrupted_demo_leaves_no_job_behind(
    api: FakeApi, started: list[str], oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_job_id: str) -> Iterator[ServerEvent]:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "stream", interrupted)
    assert oddsmith("demo").exit_code == 130
    assert api.sent("POST", "/v1/fine_tuning/jobs/ftjob-1/cancel")
    assert started == ["up", "down"]


def test_both_models_get_the_same_greedy_question(
    api: FakeApi, stack: None, oddsmith: Oddsmith
) -> None:
    oddsmith("demo")
    asked = [request.json for request in api.sent("POST", "/v1/comparisons")]
    assert len(asked) == 12
    assert all(body["models"] == [trial.BASE_MODEL, TUNED] for body in asked)
    assert all((body["temperature"], body["max_tokens"]) == (0, 120) for body in asked)
    prompts = [body["messages"][0]["content"] for body in asked]
    assert prompts[0] == trial.held_out_prompts()[0]  # it streams before others are asked
    assert sorted(prompts) == sorted(trial.held_out_prompts()[:12])


def test_a_program_that_fails_is_told_with_its_last_lines() -> None:
    step = Step("x", 1, is_drawn=False)
    failing = ["sh", "-c", "echo no space left; exit 3"]
    with (
        background.started(failing) as program,
        pytest.raises(CommandError, match="It broke:\nno space left"),
    ):
        program.wait(step, "It broke:")


def test_a_program_ends_with_its_block() -> None:
    with background.started(["sleep", "60"]) as program:
        assert program.process.poll() is None
    assert program.process.poll() == -SIGTERM


def test_the_cores_error_object_becomes_a_sentence() -> None:
    error = {"error": {"code": "bad_spec", "message": "The wheel is missing.", "hint": "Get it."}}
    assert background.last_words(f"noise\n{json.dumps(error)}\n") == "The wheel is missing. Get it."
    assert background.last_words("") == ""

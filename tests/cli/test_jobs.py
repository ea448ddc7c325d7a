"""`oddsmith jobs` against a fake API."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.client.sse import ServerEvent
from cli.commands.jobs import hyperparameter
from cli.commands.watch import JobView, event_line, progress_line
from cli.view.output import CommandError, ExitCode
from tests.cli.conftest import ISO, Oddsmith
from tests.cli.fake_api import (
    FILE,
    JOB,
    TUNED,
    FakeApi,
    Stream,
    frame,
    job_frames,
    listed,
    numbers,
    state,
)

JOBS = "/v1/fine_tuning/jobs"


def test_create_uploads_a_path_and_passes_hyperparameters_through(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", FILE)
    api.on(f"POST {JOBS}", JOB)
    api.on(f"POST {JOBS}/check", {})
    result = oddsmith(
        *("jobs", "create", "--model", "org/base", "--file", str(path), "--held-out", "file-2"),
        *("--set", "lambda=0.2", "--set", "schedule=linear", "--suffix", "s", "--seed", "3"),
        "--json",
    )
    assert (result.exit_code, json.loads(result.stdout)) == (0, JOB)
    (request,) = api.sent("POST", JOBS)
    assert request.json == {
        "model": "org/base",
        "training_file": "file-1",
        "validation_file": "file-2",
        "method": {
            "type": "orpo",
            "orpo": {"hyperparameters": {"lambda": 0.2, "schedule": "linear"}},
        },
        "suffix": "s",
        "seed": 3,
    }


@pytest.mark.parametrize("command", ["create", "estimate"])
def test_what_would_be_refused_is_refused_before_the_file_is_uploaded(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    refused = {"message": "lambda is not usable: it is below 0.", "param": "x", "code": "y"}
    api.on(f"POST {JOBS}/check", (400, {"error": refused}))
    asked = ("jobs", command, "--model", "m", "--file", str(path), "--set", "lambda=-1")
    result = oddsmith(*asked, "--held-out", "file-2")
    assert result.exit_code == 4
    assert "lambda is not usable" in result.stderr
    assert [(r.method, r.path) for r in api.requests] == [("POST", f"{JOBS}/check")]
    assert api.requests[0].json == {
        "model": "m",
        "validation_file": "file-2",
        "method": {"type": "orpo", "orpo": {"hyperparameters": {"lambda": -1}}},
    }
    # A path that can't be uploaded is found before the other one is.
    assert oddsmith(*asked, "--held-out", "nowhere.jsonl").exit_code == 4
    assert len(api.requests) == 1


def test_ids_need_no_check_of_their_own(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"POST {JOBS}", JOB)
    assert oddsmith("jobs", "create", "--model", "m", "--file", "file-1").exit_code == 0
    assert [(r.method, r.path) for r in api.requests] == [("POST", JOBS)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("a=1", 1), ("a=2e-4", 2e-4), ("a=true", True), ("a=null", None), ("a=cosine", "cosine")],
)
def test_a_setting_is_json_or_a_word(setting: str, value: Any) -> None:
    assert hyperparameter(setting) == ("a", value)


def test_a_setting_without_a_value_is_wrong_usage() -> None:
    with pytest.raises(CommandError) as caught:
        hyperparameter("lambda")
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("last", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 6), ("running", 1)]
)
def test_watch_ends_as_the_job_ends(api: FakeApi, oddsmith: Oddsmith, last: str, code: int) -> None:
    error = {"message": "The loss was NaN. Lower the rate."} if code == 1 else None
    frames = job_frames(5, 0, state(last, 5, 5, fine_tuned_model=None, error=error))
    api.on(f"GET {JOBS}/ftjob-1/stream", Stream(frames))
    result = oddsmith("jobs", "watch", "ftjob-1")
    assert result.exit_code == code
    *_, end = result.stdout.splitlines()
    ended = re.fullmatch(rf"{ISO}  ftjob-1  {last}(.*)  held out: (.*)", end)
    assert ended is not None
    assert ended[2].startswith("log-prob chosen -2.600 → -2.540, log-prob rejected -2.500 → ")
    assert ("The loss was NaN. Lower the rate." in result.stdout) == (code == 1)
    assert "Training has finished." in result.stdout
    assert "\x1b" not in result.stdout


def test_a_log_has_the_time_in_each_line_and_the_result_in_the_last(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    """An event has the time at which it happened, not that of the reader."""
    event = {"level": "warn", "message": "Slow.\nVery slow.", "created_at": 1764000000}
    last = state("succeeded", 5, 5, fine_tuned_model=TUNED)
    frames = [frame(event, "event", "0.-1.-1"), *job_frames(5, 0, last)]
    api.on(f"GET {JOBS}/ftjob-1/stream", Stream(iter(frames)))
    lines = oddsmith("jobs", "watch", "ftjob-1").stdout.splitlines()
    assert [line for line in lines if not re.match(f"{ISO}  ", line)] == []
    (told,) = (line for line in lines if "Slow." in line)
    assert datetime.fromisoformat(told.split()[0]).timestamp() == 1764000000
    assert told.endswith("  Slow.  Very slow.")
    assert f"  ftjob-1  succeeded  {TUNED}  held out: log-prob chosen" in lines[-1]


def test_watch_with_json_prints_one_event_a_line(api: FakeApi, oddsmith: Oddsmith) -> None:
    last = state("succeeded", 2, 2, fine_tuned_model=TUNED)
    api.on(f"GET {JOBS}/ftjob-1/stream", Stream(job_frames(2, 0, last)))
    events = [
        json.loads(x)
        for x in oddsmith("jobs", "watch", "ftjob-1", "--json").stdout.split("\n")
        if x
    ]
    assert [e["event"] for e in events][-3:] == ["state", "event", "done"]
    assert {e["event"] for e in events} == {"state", "metrics", "event", "done"}


@pytest.mark.parametrize(
    ("level", "style"), [("info", "dim"), ("warn", "yellow"), ("error", "red")]
)
def test_an_event_has_the_colour_of_its_level(level: str, style: str) -> None:
    """For each level of the API's job events."""
    assert str(event_line({"level": level, "message": "It is so."}).style) == style


def test_a_step_that_is_trained_again_replaces_itself() -> None:
    view = JobView("ftjob-1")
    for step, values in [(1, {"loss": 2.0}), (2, {"loss": 1.0}), (1, {"loss": 3.0, "lr": None})]:
        data = json.dumps({"step": step, "split": "train", "values": values})
        view.apply(ServerEvent("metrics", data))
    assert view.series("train", "loss") == [3.0, 1.0]
    assert view.series("train", "lr") == []


def test_a_reward_model_is_watched_by_its_rewards() -> None:
    view = JobView("ftjob-1")
    values = {"loss": 0.5, "accuracy": 0.8, "reward/chosen": 1.25, "reward/rejected": -0.5}
    data = json.dumps({"step": 1, "split": "train", "values": values})
    view.apply(ServerEvent("metrics", data))
    console = Console(width=100)
    with console.capture() as shown:
        console.print(view)
    lines = {line.split("  ")[0].strip() for line in shown.get().splitlines()}
    assert {"reward chosen", "reward rejected", "accuracy", "loss"} <= lines
    assert not {"log-prob chosen", "log odds ratio"} & lines
    assert "reward chosen 1.250" in progress_line(view)


def test_before_the_first_step_a_view_says_how_many_pairs_are_tokenised() -> None:
    view = JobView("ftjob-1")
    progress = {"preparing": {"tokenised": 2048, "pairs": 9000}}
    for status, said in [("validating_files", "2,048 of 9,000"), ("queued", "not yet training")]:
        view.apply(ServerEvent("state", json.dumps({"status": status, "progress": progress})))
        console = Console(width=100)
        with console.capture() as shown:
            console.print(view)
        assert said in shown.get()


def test_a_job_that_is_prepared_shows_how_far_it_is(api: FakeApi, oddsmith: Oddsmith) -> None:
    progress = {"preparing": {"tokenised": 2048, "pairs": 9000}}
    api.on(f"GET {JOBS}/ftjob-1", {**JOB, "status": "validating_files", "progress": progress})
    assert "2048/9000 pairs tokenised" in oddsmith("jobs", "show", "ftjob-1").stdout


def test_events_are_read_oldest_first(api: FakeApi, oddsmith: Oddsmith) -> None:
    newest_first = [
        {"id": f"e{i}", "created_at": 1764000000 + i, "level": "info", "message": f"event {i}"}
        for i in (2, 1)
    ]
    api.on(f"GET {JOBS}/ftjob-1/events", listed(*newest_first))
    shown = oddsmith("jobs", "events", "ftjob-1").stdout
    assert shown.index("event 1") < shown.index("event 2")


def test_an_estimate_is_told_in_lines_and_creates_no_job(api: FakeApi, oddsmith: Oddsmith) -> None:
    measured = {
        "pairs": 1720, "held_out_pairs": 64, "steps": 86, "tokens": 92000, "tokens_per_s": 410.4,
        "longest": 300, "token_budget": 1024, "parameters": 134515008,
        "trainable_parameters": 4884480, "processes": 1,
        "device": {"name": "CPU, 2 cores", "memory_bytes": 24_000_000_000},
        "time": {"load_s": 9.0, "train_s": 224.0, "evaluate_s": 61.0, "total_s": 294.0},
        "memory": {
            "runtime_bytes": 6e8, "weights_bytes": 3e8, "gradients_bytes": 2e7,
            "optimizer_bytes": 4e7, "head_bytes": 5e7, "activations_bytes": 1e9,
            "peak_bytes": 2.01e9,
        },
    }  # fmt: skip
    made = {"id": "ftjob-9", "status": "validating_files", "error": None, "estimate": None}
    api.on("GET /v1/files/file-1", FILE)
    api.on(f"POST {JOBS}/estimate", made)
    api.on(f"GET {JOBS}/estimate/ftjob-9", {**made, "status": "succeeded", "estimate": measured})
    shown = oddsmith("jobs", "estimate", "--model", "m", "--file", "file-1")
    assert shown.exit_code == 0, shown.stderr
    assert "92,000 at 410 a second" in shown.stdout
    assert "4:54 min" in shown.stdout
    assert "2.0 GB at its peak" in shown.stdout
    assert api.sent("POST", JOBS) == []


def test_an_estimate_that_failed_says_why(api: FakeApi, oddsmith: Oddsmith) -> None:
    error = {"code": "out_of_memory", "message": "Too large.", "param": None}
    failed = {"id": "ftjob-9", "status": "failed", "error": error, "estimate": None}
    api.on("GET /v1/files/file-1", FILE)
    api.on(f"POST {JOBS}/estimate", failed)
    api.on(f"GET {JOBS}/estimate/ftjob-9", failed)
    shown = oddsmith("jobs", "estimate", "--model", "m", "--file", "file-1")
    assert shown.exit_code == ExitCode.FAILED
    assert "Too large." in shown.stderr


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_steering_posts_the_verb(api: FakeApi, oddsmith: Oddsmith, verb: str) -> None:
    api.on(f"POST {JOBS}/ftjob-1/{verb}", {**JOB, "status": "paused"})
    assert oddsmith("jobs", verb, "ftjob-1").stdout == f"ftjob-1  paused  ({verb} requested)\n"


def test_show_list_and_checkpoints(api: FakeApi, oddsmith: Oddsmith) -> None:
    job = {**JOB, "status": "running", "progress": {"step": 3, "steps": 9}}
    api.on(f"GET {JOBS}/ftjob-1", job)
    api.on(f"GET {JOBS}", listed(job))
    checkpoint = {
        "step_number": 9,
        "metrics": {"accuracy": 0.925},
        "created_at": 1764000000,
        "fine_tuned_model_checkpoint": f"{TUNED}:ckpt-step-9",
    }
    api.on(f"GET {JOBS}/ftjob-1/checkpoints", listed(checkpoint))
    assert "  lambda        0.2" in oddsmith("jobs", "show", "ftjob-1").stdout
    assert "3/9" in oddsmith("jobs", "list").stdout
    shown = oddsmith("jobs", "checkpoints", "ftjob-1").stdout
    assert "92%" in shown
    assert f"{TUNED}:ckpt-step-9" in shown


def test_show_says_why_a_job_waits_for_its_next_attempt(api: FakeApi, oddsmith: Oddsmith) -> None:
    retry = {"reason": "The worker w stopped answering.", "attempt": 2, "max_attempts": 3, "at": 0}
    api.on(f"GET {JOBS}/ftjob-1", {**JOB, "status": "queued", "progress": {"retry": retry}})
    shown = " ".join(oddsmith("jobs", "show", "ftjob-1").stdout.split())
    assert "last attempt The worker w stopped answering. Attempt 2 of 3 follows." in shown


def test_show_says_what_a_job_waits_for(api: FakeApi, oddsmith: Oddsmith) -> None:
    waits_for = {"code": "jobs_before", "message": "Waits for 2 jobs before it."}
    queue = {"position": 3, "starts_at": None}
    job = {**JOB, "status": "queued", "queue": queue, "waits_for": waits_for}
    api.on(f"GET {JOBS}/ftjob-1", job)
    shown = " ".join(oddsmith("jobs", "show", "ftjob-1").stdout.split())
    assert "queue number 3 waiting Waits for 2 jobs before it." in shown


def test_a_progress_line_names_what_it_knows() -> None:
    view = JobView("ftjob-1")
    for name, data in [("state", state("running", 3, 9)), ("metrics", numbers(3, "train"))]:
        view.apply(ServerEvent(name, frame(data).decode().removeprefix("data: ").strip()))
    assert progress_line(view).startswith("step 3/9  7 s left  log-prob chosen -2.")


def test_the_jobs_of_a_file_are_listed(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"GET {JOBS}", listed())
    assert oddsmith("jobs", "list", "--file", "file-1").exit_code == ExitCode.OK
    (asked,) = api.sent("GET", JOBS)
    assert asked.query["file"] == "file-1"


def test_all_faults_of_a_request_are_said(api: FakeApi, oddsmith: Oddsmith) -> None:
    first = {"message": "lambda must be 0 or more.", "param": "lambda", "code": "bad"}
    second = {"message": "A seed is too large.", "param": "seed", "code": "bad"}
    body = {"error": {**first, "type": "invalid", "errors": [first, second]}}
    api.on(f"POST {JOBS}", (400, body))
    shown = oddsmith("jobs", "create", "--model", "m", "--file", "file-1")
    assert shown.exit_code == ExitCode.REFUSED
    assert "lambda must be 0 or more. (param: lambda)" in shown.stderr
    assert "A seed is too large. (param: seed)" in shown.stderr

"""`oddsmith evaluate`, `evaluations` and `suites` against a fake API."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.client.sse import ServerEvent
from cli.commands import evaluations, following
from cli.view import scores
from cli.view.output import ExitCode
from tests.cli.conftest import ISO, Oddsmith
from tests.cli.fake_api import FILE, FakeApi, Request, Stream, error, frame, listed

PATH = "/v1/evaluations/eval-1"


def measured(value: float, low: float | None, high: float | None, n: int = 100) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


SCORE = {
    "metric": "prompt_strict",
    "category": None,
    "model": measured(0.621, 0.579, 0.66),
    "baseline": measured(0.579, 0.54, 0.62),
    "difference": measured(0.042, 0.01, 0.073),
}
SIDE = {"model": "tuned", "kind": "model", "base_url": None}
EVALUATION: dict[str, Any] = {
    "id": "eval-1",
    "object": "evaluation",
    "created_at": 1764000000,
    "status": "succeeded",
    "suite": {"name": "ifeval", "title": "IFEval", "data": "file-1", "sha256": "0"},
    "model": SIDE,
    "baseline": {**SIDE, "model": "base"},
    "judge": None,
    "seed": 7,
    "counts": {"of": 541, "prompts": 100, "answered": 98, "cut_off": 3},
    "is_subset": True,
    "is_incomplete": False,
    "progress": None,
    "scores": [SCORE, {**SCORE, "category": "keywords"}],
    "preference": None,
    "rewards": None,
    "error": None,
}


def state(status: str, phase: str | None = None, **more: Any) -> bytes:
    progress = {"phase": phase, **more} if phase else None
    return frame({"status": status, "progress": progress}, "state", "0.-1.-1")


def example(api: FakeApi, last: dict[str, Any] = EVALUATION) -> None:
    """An evaluation that is created, runs and ends as `last`."""
    warning = {"level": "warn", "message": "The judge asks for patience."}
    chunks = [
        state("queued"),
        state("running", "answers", done=40, total=100, eta_s=65.0),
        frame(warning, "event", "1.-1.-1"),
        state("running", "judgments", done=1, total=100),
        state(last["status"]),
        frame({}, "done", "1.-1.-1"),
    ]
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", FILE)
    api.on("POST /v1/evaluations/check", {})
    api.on("POST /v1/evaluations", {**EVALUATION, "status": "queued", "scores": []})
    api.on(f"GET {PATH}/stream", lambda _: Stream(iter(chunks)))
    api.on(f"GET {PATH}", last)


def test_a_path_is_uploaded_and_the_scores_are_shown(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    example(api)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Say hi."}\n')
    shown = oddsmith(
        "evaluate", "tuned", "--against", "base", "--suite", "ifeval", "--data", str(prompts),
        "--limit", "100", "--seed", "7", "--temperature", "0", "--top-p", "0.9", "--deploy",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.stderr
    (sent,) = api.sent("POST", "/v1/files")
    assert b'name="purpose"\r\n\r\nevals' in sent.body
    (asked,) = api.sent("POST", "/v1/evaluations")
    assert asked.json == {
        "model": "tuned", "suite": "ifeval", "data": "file-1", "baseline": "base", "orders": 2,
        "limit": 100, "seed": 7, "sampling": {"temperature": 0.0, "top_p": 0.9}, "deploy": True,
    }  # fmt: skip
    assert "Asking for answers, 40 of 100, 1:05 min left" in shown.stdout
    assert "Asking the judge, 1 of 100" in shown.stdout
    assert "warning: The judge asks for patience." in shown.stdout
    assert "100 of 541, drawn with seed 7" in shown.stdout
    assert "62.1% (58-66)   57.9% (54-62)   +4.2 (+1.0 to +7.3)" in shown.stdout
    assert "More than chance: prompt_strict of tuned is higher than that of base" in shown.stdout
    assert "keywords" not in shown.stdout
    lines = shown.stdout.splitlines()
    table = next(at for at, line in enumerate(lines) if line.startswith("metric"))
    assert max(map(len, lines[table : table + 2])) <= 80
    assert re.fullmatch(rf"{ISO}  eval-1  succeeded  prompt_strict 62.1% \(58-66\)", lines[-1])


def test_a_log_has_the_time_in_each_line_until_the_result(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    lines = oddsmith("evaluations", "watch", "eval-1").stdout.splitlines()
    n_followed = next(at for at, line in enumerate(lines) if not re.match(ISO, line))
    followed = [re.sub(f"^{ISO}  ", "", line) for line in lines[:n_followed]]
    assert followed == [
        "eval-1  queued", "Waiting for a worker", "eval-1  running",
        "Asking for answers, 40 of 100, 1:05 min left", "warning: The judge asks for patience.",
        "Asking the judge, 1 of 100", "eval-1  succeeded",
    ]  # fmt: skip


def test_what_would_be_refused_is_refused_before_the_prompts_are_uploaded(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    example(api)
    refused = {"message": "There is no suite 'mmlu'.", "param": "suite", "code": "invalid_value"}
    api.on("POST /v1/evaluations/check", (400, {"error": refused}))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Say hi."}\n')
    done = oddsmith("evaluate", "tuned", "--suite", "mmlu", "--data", str(prompts))
    assert (done.exit_code, api.sent("POST", "/v1/files")) == (4, [])
    assert "There is no suite 'mmlu'." in done.stderr
    assert "data" not in api.sent("POST", "/v1/evaluations/check")[0].json
    assert oddsmith("evaluate", "tuned", "--suite", "x", "--data", "nowhere").exit_code == 4
    assert len(api.requests) == 1


def test_json_is_the_evaluation_itself(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    shown = oddsmith("evaluate", "tuned", "--suite", "ifeval", "--data", "file-1", "--json")
    assert json.loads(shown.stdout) == EVALUATION


def test_detached_it_returns_at_once(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    shown = oddsmith("evaluate", "tuned", "--suite", "ifeval", "--data", "file-1", "--detach")
    assert "oddsmith evaluations watch eval-1" in shown.stdout
    assert not api.sent("GET", f"{PATH}/stream")


def test_an_endpoint_is_a_baseline(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    oddsmith(
        "evaluate", "tuned", "--suite", "ifeval", "--data", "file-1", "--detach",
        "--against", "gpt", "--base-url", "https://api.example.com/v1", "--secret", "theirs",
    )  # fmt: skip
    (asked,) = api.sent("POST", "/v1/evaluations")
    assert asked.json["baseline"] == {
        "base_url": "https://api.example.com/v1", "model": "gpt", "secret": "theirs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--base-url", "https://h/v1"], "--base-url needs --against"),
        (["--secret", "s"], "--secret is the key to a --base-url"),
        (["--judge-prompt", "/nowhere/prompt.txt"], "can't be read as text"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    api: FakeApi, oddsmith: Oddsmith, options: list[str], sentence: str
) -> None:
    example(api)
    shown = oddsmith("evaluate", "tuned", "--suite", "ifeval", "--data", "file-1", *options)
    assert shown.exit_code in (ExitCode.USAGE, ExitCode.REFUSED)
    assert sentence in shown.stderr
    assert not api.sent("POST", "/v1/evaluations")


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        ("failed", ExitCode.FAILED, "The evaluation eval-1 failed. The model isn't deployed."),
        ("cancelled", ExitCode.CANCELLED, "The evaluation eval-1 was cancelled."),
    ],
)
def test_an_evaluation_that_does_not_succeed_says_why(
    api: FakeApi, oddsmith: Oddsmith, status: str, code: ExitCode, sentence: str
) -> None:
    why = {"code": "not_deployed", "message": "The model isn't deployed.", "param": "model"}
    ended = {**EVALUATION, "status": status, "error": why if status == "failed" else None}
    example(api, ended)
    shown = oddsmith("evaluate", "tuned", "--suite", "ifeval", "--data", "file-1")
    assert shown.exit_code == code
    assert sentence in shown.stderr


def test_ctrl_c_leaves_it_running_and_says_so(
    api: FakeApi, oddsmith: Oddsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    example(api)
    monkeypatch.setattr(following, "until_ended", interrupted)
    shown = oddsmith("evaluations", "watch", "eval-1")
    assert shown.exit_code == ExitCode.INTERRUPTED
    assert "eval-1 goes on" in shown.stderr
    assert "oddsmith evaluations cancel eval-1" in shown.stderr
    assert not api.sent("POST", f"{PATH}/cancel")


def test_a_refusal_names_the_field(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    api.on("POST /v1/evaluations", (400, error("The suite 'custom' needs a judge.", "judge")))
    shown = oddsmith("evaluate", "tuned", "--suite", "custom", "--data", "file-1")
    assert shown.exit_code == ExitCode.REFUSED
    assert "needs a judge. (param: judge)" in shown.stderr


def test_the_list_is_filtered_and_shows_a_score(api: FakeApi, oddsmith: Oddsmith) -> None:
    running = {**EVALUATION, "id": "eval-2", "status": "running", "scores": []}
    api.on("GET /v1/evaluations", listed(running, EVALUATION))
    shown = oddsmith("evaluations", "list", "--model", "tuned", "--suite", "ifeval")
    lines = shown.stdout.splitlines()
    assert lines[1].split() == ["eval-2", "running", "ifeval", "tuned"]
    assert lines[2].split() == ["eval-1", "succeeded", "ifeval", "tuned", "62.1%"]
    (asked,) = api.sent("GET", "/v1/evaluations")
    assert (asked.query["model"], asked.query["suite"]) == ("tuned", "ifeval")


def test_show_has_the_categories(api: FakeApi, oddsmith: Oddsmith) -> None:
    example(api)
    shown = oddsmith("evaluations", "show", "eval-1")
    _, by_category = shown.stdout.split("\nprompt_strict\n")
    assert by_category.splitlines()[1].split()[:2] == ["keywords", "62.1%"]


def test_items_are_shown_with_both_answers(api: FakeApi, oddsmith: Oddsmith) -> None:
    answer = {"text": "Long\nanswer. " * 40, "thought": None, "finish_reason": "length"}
    item = {
        "line": 12, "category": "maths", "change": -1, "cut_off": True,
        "turns": [[{"role": "user", "content": "What is 1 + 1?"}]],
        "answers": [answer], "baseline_answers": [None],
        "judgments": [{"text": "[[B]] B is right.", "value": 0.0}],
    }  # fmt: skip
    api.on(f"GET {PATH}/items", listed(item))
    shown = oddsmith("evaluations", "items", "eval-1", "--filter", "regressed")
    assert "line 12  maths  -1  cut off" in shown.stdout
    assert "prompt     What is 1 + 1?" in shown.stdout
    assert "model      Long answer. Long answer." in shown.stdout
    assert "baseline   (no answer)" in shown.stdout
    assert "judge      [[B]] B is right." in shown.stdout
    (asked,) = api.sent("GET", f"{PATH}/items")
    assert asked.query["filter"] == "regressed"
    assert max(map(len, shown.stdout.splitlines())) <= evaluations.TEXT + len("model      ")


def test_evaluations_are_compared_with_the_first(api: FakeApi, oddsmith: Oddsmith) -> None:
    other = {**EVALUATION, "id": "eval-2", "model": {**SIDE, "model": "better"}}
    cells = [
        {"evaluation": "eval-1", "value": measured(0.5, 0.4, 0.6), "difference": None},
        {
            "evaluation": "eval-2",
            "value": measured(0.7, 0.6, 0.8),
            "difference": measured(0.2, 0.1, 0.3),
        },
    ]

    def compare(request: Request) -> dict[str, Any]:
        assert request.query["ids"] == "eval-1,eval-2"
        metrics = [{"metric": "win_rate", "category": c, "cells": cells} for c in (None, "maths")]
        notes = [{"evaluation": "eval-2", "message": "It shares 40 prompts."}]
        return {"evaluations": [EVALUATION, other], "metrics": metrics, "notes": notes}

    api.on("GET /v1/evaluations/compare", compare)
    shown = oddsmith("evaluations", "compare", "eval-1", "eval-2")
    assert shown.exit_code == 0, shown.stderr
    assert "better   70.0% (60-80)   +20.0 (+10.0 to +30.0)" in shown.stdout
    assert shown.stdout.count("win_rate") == 1
    assert "better (eval-2): It shares 40 prompts." in shown.stdout


def test_cancel_and_delete(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"POST {PATH}/cancel", {**EVALUATION, "status": "running"})
    api.on(f"DELETE {PATH}", {"id": "eval-1", "object": "evaluation", "deleted": True})
    assert "cancel requested" in oddsmith("evaluations", "cancel", "eval-1").stdout
    assert "Deleted eval-1." in oddsmith("evaluations", "delete", "eval-1").stdout


def test_suites_say_what_they_need(api: FakeApi, oddsmith: Oddsmith) -> None:
    suite = {"id": "custom", "baseline": "yes", "judge": "optional", "measures": "How often."}
    api.on("GET /v1/suites", listed(suite))
    shown = oddsmith("suites")
    assert "custom   needed     optional   How often." in shown.stdout


def finding(difference: dict[str, Any] | None, **more: Any) -> str:
    return scores.finding({**SCORE, "difference": difference}, {**EVALUATION, **more})


def test_a_finding_follows_the_whole_interval() -> None:
    assert finding(measured(0.1, 0.01, 0.2)).startswith("More than chance")
    assert "is lower" in finding(measured(-0.1, -0.2, -0.01))
    assert finding(measured(0.1, -0.01, 0.2)).startswith("No difference beyond chance")
    assert finding(measured(0.1, 0.0, 0.2)).startswith("No difference beyond chance")
    assert "one prompt" in finding(measured(0.1, None, None, 1))
    assert "can't be compared" in finding(None)
    assert "no baseline" in finding(None, baseline=None)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (measured(0.62, 0.55, 0.69), "More than chance: tuned is preferred to base."),
        (measured(0.38, 0.31, 0.45), "More than chance: base is preferred to tuned."),
        (measured(0.52, 0.45, 0.59), "No difference beyond chance: tuned wins 52.0%"),
        (measured(1.0, None, None, 1), "tuned against base: one prompt can't"),
    ],
)
def test_a_win_rate_is_compared_with_one_half(found: dict[str, Any], sentence: str) -> None:
    score = {**SCORE, "metric": "win_rate", "model": found, "baseline": None, "difference": None}
    assert scores.finding(score, EVALUATION).startswith(sentence)


def test_what_limits_a_score_is_said() -> None:
    agreement = {"llmbar": {"average": measured(0.4, 0.3, 0.45), "worse_than_a_coin": True}}
    judge = {"name": "gpt", "agreement": agreement}
    limited = {**EVALUATION, "judge": judge, "is_incomplete": True, "judges_itself": "baseline"}
    said = " ".join(scores.findings(limited))
    assert "The judge is the baseline itself" in said
    assert "98 of 100 prompts were answered" in said
    assert "Only 100 of 541 prompts" in said
    assert "less often than a coin does (llmbar)" in said
    shown = dict(scores.facts({**EVALUATION, "judge": judge}))
    assert shown["judge"] == "gpt (agrees with people: llmbar 40%)"


def test_without_a_judge_it_says_that_people_vote() -> None:
    unjudged = {**EVALUATION, "scores": [], "judge": None, "is_subset": False}
    (said,) = scores.findings(unjudged)
    assert f"oddsmith votes ranking --evaluation {EVALUATION['id']}" in said


def test_rewards_are_no_shares() -> None:
    assert scores.measured("reward", measured(-1.5, -2.0, -1.0)) == "-1.50 (-2.00 to -1.00)"
    signed = scores.measured("reward", measured(0.5, 0.25, 0.75), signed=True)
    assert signed == "+0.50 (+0.25 to +0.75)"


def test_warnings_follow_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    said = ServerEvent("event", json.dumps({"level": "warn", "message": "Slow."}))
    events = [ServerEvent("state", json.dumps({"status": "running", "progress": None})), said, said]
    following._with_bar(events, quiet=True)
    assert capsys.readouterr().err == ""
    following._with_bar(events, quiet=False)
    assert capsys.readouterr().err == "warning: Slow.\n"  # once


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"status": "queued"}, "Waiting for a worker"),
        ({"status": "running"}, "Starting"),
        ({"status": "running", "progress": {"phase": "scores"}}, "Computing scores"),
        (
            {
                "status": "running",
                "progress": {"phase": "answers", "done": 1, "total": 1200, "eta_s": 7},
            },
            "Asking for answers, 1 of 1,200, 7 s left",
        ),
    ],
)
def test_a_line_says_what_is_done_now(state: dict[str, Any], line: str) -> None:
    followed = following.Followed()
    followed.apply(ServerEvent("state", json.dumps(state)))
    assert followed.line() == line


@pytest.mark.parametrize(
    ("decided", "sentence"),
    [
        (measured(0.7, 0.6, 0.8), "The judge agrees with people more often than a coin does"),
        (measured(0.3, 0.2, 0.4), "The judge agrees with people less often than a coin does"),
        (measured(0.5, 0.4, 0.6), "The judge may be no better than a coin"),
        (None, "Too few pairs were judged"),
    ],
)
def test_an_agreement_is_compared_with_a_coin(
    decided: dict[str, Any] | None, sentence: str
) -> None:
    bare = {"category": None, "baseline": None, "difference": None}
    of_pairs = [{"metric": name, "model": decided, **bare} for name in ("average", "decided")]
    suite = {"name": "agreement", "title": "Agreement", "data": "file-1", "sha256": "0"}
    of_judge = {**EVALUATION, "suite": suite, "scores": of_pairs, "is_subset": False}
    (said,) = scores.findings({**of_judge, "baseline": None})
    assert said.startswith(sentence)

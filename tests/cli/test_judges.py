"""`oddsmith judges` against a fake API."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.view.output import ExitCode
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FILE, FakeApi, Request, Stream, frame, listed

PATH = "/v1/judges/judge-1"


def share(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 100}


def agreement(value: float, *, is_worse: bool = False) -> dict[str, Any]:
    found = share(value, value - 0.05, value + 0.05)
    shares = dict.fromkeys(("average", "both", "equal", "decided"), found)
    return {**shares, "n": 100, "unparsed": 2, "worse_than_a_coin": is_worse}


JUDGE: dict[str, Any] = {
    "id": "judge-1",
    "created_at": 1764000000,
    "name": "Strict",
    "kind": "openai",
    "model": "big",
    "base_url": "https://host/v1",
    "secret": "ours",
    "sampling": {"temperature": 0.0, "max_tokens": 64},
    "agreement": {"llmbar": agreement(0.8), "votes": agreement(0.3, is_worse=True)},
}


def test_a_judge_is_added_by_its_address(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/judges", JUDGE)
    options = ["--base-url", "https://host/v1", "--secret", "ours", "--max-tokens", "64"]
    shown = oddsmith("judges", "add", "big", *options)
    assert shown.exit_code == 0, shown.stderr
    assert "judge-1  openai  Strict" in shown.stdout
    (sent,) = api.sent("POST", "/v1/judges")
    assert sent.json == {
        "kind": "openai",
        "model": "big",
        "base_url": "https://host/v1",
        "secret": "ours",
        "sampling": {"max_tokens": 64},
    }


@pytest.mark.parametrize(("use", "kind"), [("judge", "reward"), ("chat", "deployment")])
def test_the_kind_of_a_model_of_ours_is_found(
    api: FakeApi, oddsmith: Oddsmith, use: str, kind: str
) -> None:
    api.on("GET /v1/models/mine", {"id": "mine", "use": use})
    api.on("POST /v1/judges", JUDGE)
    assert json.loads(oddsmith("judges", "add", "mine", "--json").stdout) == JUDGE
    (sent,) = api.sent("POST", "/v1/judges")
    assert sent.json == {"kind": kind, "model": "mine"}


def test_judges_are_listed_with_their_agreement(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/judges", listed(JUDGE, {**JUDGE, "id": "judge-2", "agreement": {}}))
    shown = oddsmith("judges", "list")
    first, second = shown.stdout.splitlines()[1:]
    assert "80%" in first
    assert "30% (worse than a coin)" in first
    assert "%" not in second


def test_a_judge_is_shown_with_what_its_numbers_say(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"GET {PATH}", JUDGE)
    shown = oddsmith("judges", "show", "judge-1")
    assert "80.0% (75-85)" in shown.stdout
    assert "Worse than a coin on your votes" in shown.stdout
    assert "Worse than a coin on LLMBar" not in shown.stdout
    coin = {**JUDGE, "agreement": {"votes": agreement(0.52)}}
    api.on(f"GET {PATH}", coin)
    assert "can't be told from a coin" in oddsmith("judges", "show", "judge-1").stdout
    api.on(f"GET {PATH}", {**JUDGE, "agreement": {}})
    assert "was not measured yet" in oddsmith("judges", "show", "judge-1").stdout


def test_a_judge_is_deleted(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"DELETE {PATH}", {"id": "judge-1", "object": "judge", "deleted": True})
    assert "Deleted judge-1." in oddsmith("judges", "delete", "judge-1").stdout


def measured(api: FakeApi, status: str = "succeeded", error: Any = None) -> None:
    """An agreement that is measured when it is asked for."""
    evaluation = {"id": "eval-1", "status": status, "error": error}
    api.on(f"POST {PATH}/agreement", {**evaluation, "status": "queued"})

    def stream(_: Request) -> Stream:
        return Stream(iter(frames))

    frames = [frame({"status": status, "progress": None}, "state", "1"), frame({}, "done", "2")]
    api.on("GET /v1/evaluations/eval-1/stream", stream)
    api.on("GET /v1/evaluations/eval-1", evaluation)
    api.on(f"GET {PATH}", JUDGE)


def test_agreement_is_measured_and_printed(api: FakeApi, oddsmith: Oddsmith) -> None:
    measured(api)
    shown = oddsmith("judges", "agreement", "judge-1", "--votes", "--limit", "9")
    assert shown.exit_code == 0, shown.stderr
    assert "80.0% (75-85)" in shown.stdout
    (sent,) = api.sent("POST", f"{PATH}/agreement")
    assert sent.json == {"labels": "votes", "limit": 9}
    oddsmith("judges", "agreement", "judge-1", "--llmbar", "file-7", "--json")
    assert api.sent("POST", f"{PATH}/agreement")[1].json == {"labels": "llmbar", "data": "file-7"}


def test_a_judge_that_is_not_there_is_refused_before_labels_are_uploaded(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    labels = tmp_path / "llmbar.json"
    labels.write_text("[]")
    refused = oddsmith("judges", "agreement", "judge-9", "--llmbar", str(labels))
    assert (refused.exit_code, api.sent("POST", "/v1/files")) == (4, [])
    measured(api)
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", FILE)
    done = oddsmith("judges", "agreement", "judge-1", "--llmbar", str(labels))
    assert done.exit_code == 0, done.stderr
    assert api.sent("POST", f"{PATH}/agreement")[0].json == {"labels": "llmbar", "data": "file-1"}


def test_an_agreement_that_failed_says_why(api: FakeApi, oddsmith: Oddsmith) -> None:
    measured(api, "failed", {"message": "No verdicts.", "hint": "Use another judge.", "code": "x"})
    shown = oddsmith("judges", "agreement", "judge-1", "--votes")
    assert shown.exit_code == ExitCode.FAILED
    assert "No verdicts. Use another judge." in shown.stderr


@pytest.mark.parametrize("options", [[], ["--votes", "--llmbar", "file-1"]])
def test_labels_of_one_kind_are_compared(
    oddsmith: Oddsmith, options: list[str], tmp_path: Path
) -> None:
    assert oddsmith("judges", "agreement", "judge-1", *options).exit_code == ExitCode.USAGE

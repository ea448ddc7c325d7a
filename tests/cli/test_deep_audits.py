"""`oddsmith files deep-audit` against a fake API."""

import json

import pytest

from cli.commands.deep_audits import first_sentence, phase_of
from cli.view.output import ExitCode
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi
from tests.records import AUDITED, JUDGED

AUDITS = "/v1/files/file-1/deep_audits"
AUDIT = {
    "id": "ftjob-9", "file_id": "file-1", "model": "tiny", "status": "succeeded", "error": None,
    "progress": {"step": 9, "steps": 9}, "result": AUDITED, "result_files": ["file-9"],
}  # fmt: skip
ROW = {
    "line": 2,
    "chosen": [{"role": "assistant", "content": "No idea! Ask\nsomeone else."}],
    "rejected": [{"role": "assistant", "content": "Two.\nBecause one and one are two."}],
}


def test_the_worst_pairs_are_shown_with_both_first_sentences(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    waiting = iter(["queued", "running", "succeeded"])
    api.on(f"POST {AUDITS}", {**AUDIT, "status": "queued", "result": None})
    api.on(f"GET {AUDITS}/ftjob-9", lambda _: {**AUDIT, "status": next(waiting)})
    api.on(f"GET {AUDITS}/ftjob-9/pairs", {"data": JUDGED[:1]})
    api.on("GET /v1/files/file-1/rows", {"data": [ROW]})
    shown = oddsmith("files", "deep-audit", "file-1", "--model", "tiny", "--seed", "3")
    assert shown.exit_code == 0, shown.stderr
    (asked,) = api.sent("POST", AUDITS)
    assert asked.json == {"model": "tiny", "seed": 3}
    (row,) = api.sent("GET", "/v1/files/file-1/rows")
    assert (row.query["offset"], row.query["limit"]) == ("1", "1")
    assert "1 of 2 pairs" in shown.stdout
    assert "50% (0% to 100%), estimated" in shown.stdout
    assert "2      0.90    likely_swapped   No idea!   Two." in shown.stdout
    assert "oddsmith files rows file-1 --finding likely_swapped" in shown.stdout
    assert "oddsmith files make file-1 --drop likely_swapped" in shown.stdout
    assert "oddsmith files make file-1 --swap likely_swapped" in shown.stdout
    assert "--drop unclear" not in shown.stdout  # there is none


def test_json_is_the_audit_itself(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"POST {AUDITS}", AUDIT)
    api.on(f"GET {AUDITS}/ftjob-9", AUDIT)
    shown = oddsmith("files", "deep-audit", "file-1", "--model", "tiny", "--json")
    assert json.loads(shown.stdout) == AUDIT


def test_an_audit_that_failed_says_why(api: FakeApi, oddsmith: Oddsmith) -> None:
    error = {"code": "bad_data", "message": "The file has 3 usable pairs.", "param": None}
    failed = {**AUDIT, "status": "failed", "error": error, "result": None}
    api.on(f"POST {AUDITS}", failed)
    api.on(f"GET {AUDITS}/ftjob-9", failed)
    shown = oddsmith("files", "deep-audit", "file-1", "--model", "tiny")
    assert shown.exit_code == ExitCode.FAILED
    assert "The file has 3 usable pairs." in shown.stderr


@pytest.mark.parametrize(
    ("status", "progress", "phase"),
    [
        ("validating_files", None, ("Preparing the pairs", 0, None)),
        (
            "validating_files",
            {"preparing": {"tokenised": 3, "pairs": 8}},
            ("Preparing the pairs", 3, 8),
        ),
        ("queued", {"preparing": {"tokenised": 8, "pairs": 8}}, ("Waiting for a worker", 0, None)),
        ("running", {}, ("Loading the model", 0, None)),
        ("running", {"step": 3, "steps": 9}, ("Judging the pairs", 3, 9)),
    ],
)
def test_the_phase_of_an_audit_is_shown(
    status: str, progress: dict[str, object] | None, phase: tuple[str, int, int | None]
) -> None:
    assert phase_of({"status": status, "progress": progress}) == phase


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", "One."),
        ("One\nline", "One line"),
        ("x" * 200, "x" * 89 + "…"),
        ("", ""),
    ],
)
def test_the_first_sentence_of_an_answer(text: str, expected: str) -> None:
    assert first_sentence([{"role": "assistant", "content": text}]) == expected
    assert first_sentence(None) == ""

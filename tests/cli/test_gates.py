"""Gates in the terminal: written as options, shown with a job, its stream and its model."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import JOB, TUNED, FakeApi, Stream, job_frames, listed, state

JOBS = "/v1/fine_tuning/jobs"
GATE = {
    "suite": "ifeval", "data": "file-2", "metric": "prompt_strict", "at_least": "base - 0.02",
    "judge": None, "limit": 100, "seed": None, "deploy": True, "evaluation": "eval-1",
}  # fmt: skip
PASSED = GATE | {"passed": True, "reason": "The value is 0.6, at least 0.5."}
FAILED = GATE | {"metric": "prompt_loose", "passed": None, "reason": "It was cancelled."}


def test_gates_are_passed_through(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1", {"id": "file-1", "status": "processed"})
    api.on(f"POST {JOBS}", JOB)
    gates = [
        "suite=ifeval, data=file-2,metric=prompt_strict,at_least=base - 0.02,limit=100",
        "suite=custom,data=file-3,metric=win_rate,at_least=0.5,judge=judge-1,deploy=false",
    ]
    given = [word for gate in gates for word in ("--gate", gate)]
    result = oddsmith("jobs", "create", "--model", "m", "--file", "file-1", *given)
    assert result.exit_code == 0, result.stderr
    (request,) = api.sent("POST", JOBS)
    assert request.json["gates"] == [
        {
            "suite": "ifeval", "data": "file-2", "metric": "prompt_strict",
            "at_least": "base - 0.02", "limit": 100,
        },
        {
            "suite": "custom", "data": "file-3", "metric": "win_rate", "at_least": 0.5,
            "judge": "judge-1", "deploy": False,
        },
    ]  # fmt: skip


def test_a_gate_of_another_form_is_wrong_usage(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1", {"id": "file-1", "status": "processed"})
    result = oddsmith("jobs", "create", "--model", "m", "--file", "file-1", "--gate", "ifeval")
    assert result.exit_code == 2
    assert "name=value" in result.stderr


@pytest.mark.parametrize(
    ("job", "promoted", "of_gate"),
    [
        ({"gates": [GATE | {"evaluation": None}]}, "not decided yet", "evaluated after"),
        ({"gates": [GATE]}, "not decided yet", "evaluated by eval-1"),
        (
            {"gates": [GATE], "promotion": {"promoted": True, "gates": [PASSED]}},
            "yes", "passed. The value is 0.6, at least 0.5.",
        ),
        (
            {"gates": [GATE], "promotion": {"promoted": False, "gates": [PASSED, FAILED]}},
            "no", "not passed. It was cancelled.",
        ),
    ],
)  # fmt: skip
def test_a_job_is_shown_with_its_gates(
    api: FakeApi, oddsmith: Oddsmith, job: dict[str, Any], promoted: str, of_gate: str
) -> None:
    api.on(f"GET {JOBS}/ftjob-1", JOB | {"status": "succeeded"} | job)
    shown = oddsmith("jobs", "show", "ftjob-1").stdout
    words = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines() if line}
    assert words["promoted"] == promoted
    assert f"at least base - 0.02: {of_gate}" in shown


def test_watch_says_what_evaluates_the_model(api: FakeApi, oddsmith: Oddsmith) -> None:
    last = state("succeeded", 2, 2, fine_tuned_model=TUNED, gates=[GATE], promotion=None)
    api.on(f"GET {JOBS}/ftjob-1/stream", Stream(job_frames(2, 0, last)))
    result = oddsmith("jobs", "watch", "ftjob-1")
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith(
        "The model is evaluated for its gates: eval-1. Whether it is promoted is shown by: "
        "oddsmith jobs show ftjob-1"
    )


def test_models_are_listed_with_their_promotion(api: FakeApi, oddsmith: Oddsmith) -> None:
    model = {"kind": "tuned", "status": "ready", "deployed": False}
    answers = {"m-yes": True, "m-no": False, "m-none": None}
    api.on(
        "GET /v1/models", listed(*({"id": m, "promoted": p} | model for m, p in answers.items()))
    )
    lines = [line.split() for line in oddsmith("models", "list").stdout.splitlines()]
    assert {line[0]: line[3:] for line in lines[1:]} == {
        "m-yes": ["yes"], "m-no": ["no"], "m-none": [],
    }  # fmt: skip
    assert json.loads(oddsmith("models", "list", "--json").stdout)[0]["promoted"] is True

"""`oddsmith jobs edit`, and the labels in lists, against a fake API."""

from typing import Any

import pytest

from cli.view.output import ExitCode
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import JOB, FakeApi, listed

JOBS = "/v1/fine_tuning/jobs"
PATH = f"{JOBS}/ftjob-1"
NAMED = {**JOB, "name": "Short answers", "tags": ["abl"], "notes": "", "archived": False}


@pytest.fixture
def named(api: FakeApi) -> FakeApi:
    api.on(f"GET {PATH}", NAMED)
    api.on(f"POST {PATH}", lambda request: {**NAMED, **request.json})
    return api


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["--name", "b"], {"name": "b"}),
        (["--name", ""], {"name": None}),
        (["--notes", ""], {"notes": ""}),
        (["--archive"], {"archived": True}),
        (["--unarchive"], {"archived": False}),
        (["--tag", "B2", "--tag", "abl"], {"tags": ["abl", "b2"]}),
        (["--untag", "ABL", "--tag", "x"], {"tags": ["x"]}),
    ],
)
def test_only_what_is_named_is_sent(
    named: FakeApi, oddsmith: Oddsmith, options: list[str], body: dict[str, Any]
) -> None:
    assert oddsmith("jobs", "edit", "ftjob-1", *options).exit_code == 0
    (sent,) = named.sent("POST", PATH)
    assert sent.json == body
    assert bool(named.sent("GET", PATH)) == ("tags" in body)


def test_the_changed_run_is_shown(named: FakeApi, oddsmith: Oddsmith) -> None:
    shown = oddsmith("jobs", "edit", "ftjob-1", "--notes", "Two\nlines", "--archive").stdout
    lines = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert lines[:3] == [["name", "Short answers"], ["id", "ftjob-1"], ["tags", "abl"]]
    assert ["archived", "yes"] in lines


def test_an_edit_without_a_change_is_wrong_usage(named: FakeApi, oddsmith: Oddsmith) -> None:
    refused = oddsmith("jobs", "edit", "ftjob-1")
    assert refused.exit_code == ExitCode.USAGE
    assert "Nothing to change: give --name" in refused.stderr
    assert named.requests == []


def test_a_tag_that_is_not_there_can_not_be_removed(named: FakeApi, oddsmith: Oddsmith) -> None:
    refused = oddsmith("jobs", "edit", "ftjob-1", "--untag", "abi")
    assert refused.exit_code == ExitCode.FAILED
    assert "The run has no tag 'abi' to remove; it has: abl." in refused.stderr
    assert named.sent("POST", PATH) == []


def test_a_list_begins_with_names_and_has_results(api: FakeApi, oddsmith: Oddsmith) -> None:
    outcome = {"before": {"accuracy": 0.45}, "after": {"accuracy": 0.7}}
    api.on(f"GET {JOBS}", listed({**NAMED, "outcome": outcome}, {**JOB, "id": "ftjob-0123456789"}))
    head, first, second = oddsmith("jobs", "list").stdout.splitlines()
    assert head.split()[:2] == ["name", "id"]
    assert first.startswith("Short answers   ftjob-1")
    assert "45% → 70%" in first
    assert " abl " in first
    # A run without a name has the start of its id.
    assert second.startswith("01234567 ")


def test_filters_are_passed_on(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"GET {JOBS}", listed())
    shown = oddsmith("jobs", "list", "--tag", "abl", "--archived")
    assert shown.stdout == "No run has all that was asked for.\n"
    assert "There are no runs yet" in oddsmith("jobs", "list").stdout
    filtered, plain = (request.query for request in api.sent("GET", JOBS))
    assert (filtered["tag"], filtered["archived"]) == ("abl", "true")
    assert not {"tag", "archived"} & plain.keys()


def test_a_mistyped_option_is_answered_with_the_right_one(api: FakeApi, oddsmith: Oddsmith) -> None:
    refused = oddsmith("jobs", "edit", "ftjob-1", "--archiv")
    assert refused.exit_code == ExitCode.USAGE
    assert "--archive" in refused.stderr

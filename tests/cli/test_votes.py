"""`oddsmith votes` against a fake API."""

import json
from typing import Any

import pytest

from cli.commands import votes
from cli.view.output import ExitCode
from models import comparisons
from services.votes.pairs import Counts
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, error, listed

SHARE = {"value": 0.68, "low": 0.54, "high": 0.8, "n": 40}
OUTCOMES = {"wins": 30, "draws": 2, "losses": 12, "early": False}
FEW = {"wins": 2, "draws": 0, "losses": 1, "early": True}


def side(model: str, text: str, question: str = "Why?") -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": question}]}
    return {"model": model, "text": text, "asked": asked}


VOTE: dict[str, Any] = {
    "id": "cmp-1",
    "voted_at": 1764000000,
    "choice": "a",
    "reason": "clear",
    "note": "Says why.",
    "edit": {"side": 0, "text": "Because it rains."},
    "sides": [side("tuned", "Because. \x1b[31m" + "x" * 300), side("base", "No.")],
}
RANKING: dict[str, Any] = {
    "votes": 48,
    "counted": 47,
    "enough": 20,
    "models": [
        {"model": "tuned", "group": 0, "against_average": SHARE, **OUTCOMES},
        {"model": "other", "group": 1, "against_average": SHARE, **FEW},
    ],
    "pairs": [
        {"model": "tuned", "other": "base", "win_rate": SHARE, "at_equal_length": None, **OUTCOMES}
    ],
    "agreement": {"value": 0.75, "low": 0.5, "high": 1.0, "n": 12},
    "side": {"value": 0.6, "low": 0.55, "high": 0.66, "n": 40},
}
COUNTS = {
    "votes": 37, "pairs": 31, "edited": 2, "ties": 4, "both_bad": 0, "not_a_pair": 0,
    "cut_off": 0, "held_out": 0, "contradictions": 2, "repeated": 0,
}  # fmt: skip
FILE = {
    "id": "file-1", "status": "uploaded", "filename": "votes.jsonl", "made_from": {"counts": COUNTS}
}  # fmt: skip


def test_votes_are_listed_with_their_texts(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/votes", listed(VOTE))
    shown = oddsmith("votes", "list", "--model", "tuned", "--against", "base", "--choice", "a")
    assert shown.exit_code == 0, shown.stderr
    (sent,) = api.sent("GET", "/v1/votes")
    assert sent.query.items() >= {"model": "tuned", "against": "base", "choice": "a"}.items()
    lines = [line.split() for line in shown.stdout.splitlines() if line]
    assert lines[0][0] == "cmp-1"
    assert lines[0][-4:] == ["A", "is", "better", "clear"]
    assert [line[0] for line in lines[1:]] == ["question", "A:", "B:", "A,", "note"]
    assert "…" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "x" * 300 in oddsmith("votes", "list", "--full").stdout.replace("\n", "")


def test_sides_that_were_asked_different_things_show_both_questions(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    sides = [side("tuned", "Yes.", "First?"), side("base", "No.", "Second?")]
    api.on("GET /v1/votes", listed({**VOTE, "sides": sides, "note": None, "edit": None}))
    shown = oddsmith("votes", "list").stdout
    assert "First?" in shown
    assert "Second?" in shown


def test_without_votes_the_list_says_how_to_vote(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/votes", listed())
    assert "oddsmith open" in oddsmith("votes", "list").stdout
    assert "No vote fits" in oddsmith("votes", "list", "--choice", "tie").stdout
    assert oddsmith("votes", "list", "--choice", "c").exit_code == ExitCode.USAGE


def test_the_ranking_says_what_is_too_early_and_what_can_not_be_compared(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    api.on("GET /v1/votes/ranking", RANKING)
    shown = oddsmith("votes", "ranking").stdout
    assert "68.0% (54-80)" in shown
    assert "too early: 3 of 20 votes" in shown
    assert "can't be ranked" in shown
    assert "in 75.0% (50-100) of the cases" in shown.replace("\n", " ")
    assert "60.0% (55-66): voters prefer the answer on the left" in shown
    even = {**RANKING, "side": {**RANKING["side"], "low": 0.45}}
    api.on("GET /v1/votes/ranking", even)
    assert "no side is preferred" in oddsmith("votes", "ranking").stdout
    assert json.loads(oddsmith("votes", "ranking", "--json").stdout) == even


def test_without_votes_the_ranking_says_how_to_vote(api: FakeApi, oddsmith: Oddsmith) -> None:
    empty = {"votes": 0, "counted": 0, "enough": 20, "models": [], "pairs": [], "side": None}
    api.on("GET /v1/votes/ranking", empty)
    assert "oddsmith open" in oddsmith("votes", "ranking").stdout


def test_a_preview_counts_what_is_left_out(api: FakeApi, oddsmith: Oddsmith) -> None:
    found = {"counts": COUNTS, "contradicted": [["cmp-1", "cmp-2"]]}
    api.on("POST /v1/votes/preview", found)
    shown = oddsmith("votes", "preview", "--model", "tuned", "--reason", "clear")
    (sent,) = api.sent("POST", "/v1/votes/preview")
    assert sent.json == {"filter": {"model": "tuned", "reason": "clear"}}
    assert "31, 2 of them edited" in shown.stdout
    assert "left out: 4" in shown.stdout
    assert "left out: 0" not in shown.stdout
    assert "cmp-1, cmp-2" in shown.stdout
    assert json.loads(oddsmith("votes", "preview", "--json").stdout) == found


def test_a_file_is_made_and_the_next_command_is_named(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/votes/files", FILE)
    shown = oddsmith("votes", "file", "--name", "mine", "--choice", "a")
    (sent,) = api.sent("POST", "/v1/votes/files")
    assert sent.json == {"filter": {"choice": "a"}, "filename": "mine"}
    assert "oddsmith jobs create --model MODEL --file file-1" in shown.stdout
    assert json.loads(oddsmith("votes", "file", "--json").stdout) == FILE


def test_a_refusal_is_a_sentence(api: FakeApi, oddsmith: Oddsmith) -> None:
    refused = 409, error("None of 3 votes becomes a pair: see the preview for why.", "filter")
    api.on("POST /v1/votes/files", refused)
    shown = oddsmith("votes", "file")
    assert shown.exit_code == ExitCode.REFUSED
    assert "None of 3 votes becomes a pair" in shown.stderr


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(votes.Choice, comparisons.Choice), (votes.Reason, comparisons.Reason)],
)
def test_the_words_are_those_of_the_api(ours: Any, theirs: Any) -> None:
    assert [*ours] == [*theirs]


def test_each_reason_why_a_vote_is_left_out_has_words() -> None:
    assert {"votes", "pairs", "edited", *votes.LEFT_OUT} == Counts.__dataclass_fields__.keys()


LINK: dict[str, Any] = {
    "id": "key-1", "name": "Ada", "scopes": ["vote"], "evaluation_id": "eval-1",
    "key": "sk-odd-secret", "path": "/vote#key=sk-odd-secret",
}  # fmt: skip


def test_a_link_for_a_rater_is_printed_on_a_line_of_its_own(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    api.on("POST /v1/api_keys", LINK)
    shown = oddsmith("votes", "link", "eval-1", "--name", "Ada")
    assert shown.stdout.splitlines()[0] == f"{api.url}/vote#key=sk-odd-secret"
    assert "oddsmith keys delete key-1" in shown.stdout
    assert "only on this machine" in shown.stdout
    (sent,) = api.sent("POST", "/v1/api_keys")
    assert sent.json == {"name": "Ada", "scopes": ["vote"], "evaluation_id": "eval-1"}
    found = json.loads(oddsmith("votes", "link", "eval-1", "--json").stdout)
    assert found == LINK | {"url": f"{api.url}{LINK['path']}"}
    assert api.requests[-1].json["name"] == "rater"


def test_an_evaluation_without_cards_has_no_link(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/api_keys", (409, error("It has no two answers.", "evaluation_id")))
    refused = oddsmith("votes", "link", "eval-1")
    assert refused.exit_code == ExitCode.REFUSED
    assert "It has no two answers." in refused.stderr
    assert refused.stdout == ""


def test_votes_name_their_voter(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/votes", listed(VOTE | {"voter": "Ada"}))
    assert "by Ada" in oddsmith("votes", "list").stdout

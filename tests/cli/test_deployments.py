"""`oddsmith deployments` against a fake API."""

import json

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import TUNED, FakeApi, listed

DIFFERENCE = {
    "prompt": 1, "of": "thinking_off", "at": 31, "start": 30,
    "trainer": [{"id": 5, "text": "user"}, {"id": 7, "text": "\n"}, {"id": 9, "text": "x"}],
    "engine": [{"id": 5, "text": "user"}, {"id": 8, "text": "\x1b[2J\u202e"}],
}  # fmt: skip
DEPLOYMENT = {
    "id": "deploy-1", "model": TUNED, "base_model": "org/base", "status": "failed",
    "error": {"message": "Other tokens.", "code": "parity", "param": None}, "engine": None,
    "parity": {
        "token_ids_equal": True, "thinking_ids_equal": False, "tools_ids_equal": None,
        "max_logprob_diff": 0.25, "weights_sha256": "ab" * 32, "difference": DIFFERENCE,
    },
}  # fmt: skip


def test_tokens_that_differ_are_shown_side_by_side(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/deployments/deploy-1", DEPLOYMENT)
    shown = oddsmith("deployments", "show", "deploy-1")
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["error", "Other", "tokens."] in lines
    assert ["with", "thinking", "on", "and", "off", "NOT", "equal"] in lines
    assert "with tools" not in shown.stdout
    assert "position 31 of prompt 1, with thinking switched off:" in shown.stdout
    # Text of a model can't steer the terminal.
    assert lines[-3:] == [
        ["30", "5", "'user'", "5", "'user'"],
        [">", "31", "7", "'\\n'", "8", "'\\x1b[2J\\u202e'"],
        [">", "32", "9", "'x'", "(the", "end)"],
    ]


def test_a_deployment_is_found_by_its_model(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/deployments", listed({**DEPLOYMENT, "parity": None}))
    shown = oddsmith("deployments", "show", TUNED, "--json")
    assert json.loads(shown.stdout)["id"] == "deploy-1"
    assert oddsmith("deployments", "show", "org/other").exit_code == 4
    listing = oddsmith("deployments", "list")
    assert "deploy-1" in listing.stdout


def test_the_list_says_whether_ids_are_equal(api: FakeApi, oddsmith: Oddsmith) -> None:
    other = {"token_ids_equal": False}
    api.on("GET /v1/deployments", listed(DEPLOYMENT, {**DEPLOYMENT, "parity": other}))
    shown = oddsmith("deployments", "list").stdout.splitlines()
    assert shown[1].endswith("  equal")
    assert shown[2].endswith("NOT equal")

"""`oddsmith keys` against a fake API."""

import re

import pytest

from cli.stack.parts import ROOT
from services.access import key_text
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi, listed

KEY = {
    "id": "key-1",
    "name": "ci",
    "hint": "sk-…abcd",
    "scopes": ["read"],
    "created_at": 1764000000,
}


def test_create_prints_the_key_on_a_line_of_its_own(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/api_keys", {**KEY, "key": "sk-odd-secret"})
    result = oddsmith("keys", "create", "ci", "--scope", "read")
    assert result.stdout.splitlines()[0] == "sk-odd-secret"
    assert api.requests[0].json == {"name": "ci", "scopes": ["read"]}


def test_create_with_the_scope_to_chat(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/api_keys", {**KEY, "key": "sk-odd-secret"})
    assert oddsmith("keys", "create", "ci", "--scope", "chat").exit_code == 0
    assert api.requests[0].json == {"name": "ci", "scopes": ["chat"]}


def test_an_unknown_scope_is_wrong_usage(api: FakeApi, oddsmith: Oddsmith) -> None:
    assert oddsmith("keys", "create", "ci", "--scope", "root").exit_code == 2
    assert not api.requests


def test_list_and_delete(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/api_keys", listed(KEY))
    api.on("DELETE /v1/api_keys/key-1", {"id": "key-1", "deleted": True})
    assert "sk-…abcd" in oddsmith("keys", "list").stdout
    assert oddsmith("keys", "delete", "key-1").stdout == "Deleted key-1.\n"


def test_keys_of_raters_are_listed_with_their_evaluation(api: FakeApi, oddsmith: Oddsmith) -> None:
    rater = KEY | {"name": "Ada", "scopes": ["vote"], "evaluation_id": "eval-1", "votes": 7}
    api.on("GET /v1/api_keys", listed(rater))
    (row,) = (line for line in oddsmith("keys", "list").stdout.splitlines() if "Ada" in line)
    assert "vote on eval-1" in row
    assert "7" in row.split()


SHOWN = re.compile(r"sk-odd[a-z]*-")


@pytest.mark.parametrize(
    "path",
    [
        "docker/make-secrets",
        "web/src/features/session/sign-in-page.tsx",
        "api/deps.py",
        "api/app.py",
    ],
)
def test_keys_have_one_prefix_wherever_it_is_shown(path: str) -> None:
    shown = set(SHOWN.findall((ROOT / path).read_text()))
    assert shown == {key_text.PREFIX}
    assert key_text.new().startswith(key_text.PREFIX)

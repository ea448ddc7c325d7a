"""Recipes over HTTP: refused by field, tried without storing anything."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.files.keys import keys_of
from services.platform import storage
from tests.api.made_versions import DROP, SWAP, make, parent, quick, show
from tests.api.sent_files import error_of

__all__ = ["parent", "quick"]

REFUSED: list[tuple[Any, str]] = [
    ([{"step": "filter", "field": "any", "matches": "("}], "recipe.0.matches"),
    ([{"step": "filter", "field": "any"}], "recipe.0"),
    ([SWAP, {"step": "mix", "files": [{"file_id": "file-1"}]}], "recipe.1"),
    ([{"step": "edit", "line": 1, "chosen": "x" * 100_000}] * 2, "recipe"),
    ([{"step": "other"}], "recipe.0"),
    ([SWAP, {"lines": [1]}], "recipe.1.step"),
    ([SWAP, {**DROP, "more": 1}], "recipe.1.more"),
    ([{"step": "swap", "lines": [0]}], "recipe.0.lines.0"),
    ([{"step": "map", "action": "strip", "text": "x"}], "recipe.0"),
    (
        [SWAP, {"step": "map", "action": "replace", "pattern": "(a)", "replacement": r"\2"}],
        "recipe.1.pattern",
    ),
    ([{"step": "repair", "finding": "cut"}], "recipe.0"),
    ([{"step": "language", "languages": ["xx"]}], "recipe.0"),
    ([], "recipe"),
    (None, "recipe"),
]


@pytest.mark.parametrize(("steps", "param"), REFUSED)
@pytest.mark.parametrize("path", ["versions", "versions/preview"])
def test_what_is_no_recipe_is_refused(
    client: TestClient, parent: str, steps: Any, param: str, path: str
) -> None:
    error = error_of(client.post(f"/v1/files/{parent}/{path}", json={"recipe": steps}), 400)
    assert error["param"].startswith(param)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"step": "drop_rows", "lines": [1, 2, 3, 4, 5, 6]}, "Step 1 (drop_rows) leaves no row"),
        ({"step": "swap", "lines": [9]}, "Step 1 (swap): line 9 of file-"),
        (
            {"step": "deduplicate", "by": "near"},
            "Step 1 (deduplicate): the rows of findings",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_ends_in_an_error_with_a_sentence(
    client: TestClient, work: Callable[[], None], parent: str, step: dict[str, Any], sentence: str
) -> None:
    made = make(client, parent, step).json()["data"][0]["id"]
    work()
    done = show(client, made)
    assert done["status"] == "error"
    assert sentence in done["status_details"]
    error_of(client.get(f"/v1/files/{made}/content"), 409)
    if step["step"] != "drop_rows":
        body = {"recipe": [step]}
        error = error_of(client.post(f"/v1/files/{parent}/versions/preview", json=body), 400)
        assert sentence in error["message"]
        assert error["param"].startswith("recipe.0")


def test_a_preview_of_rows_that_are_gone_is_a_conflict(client: TestClient, parent: str) -> None:
    storage.delete(keys_of(parent).rows)
    answer = client.post(f"/v1/files/{parent}/versions/preview", json={"recipe": [SWAP]})
    assert error_of(answer, 409)["param"] == "recipe"


def test_a_preview_stores_nothing(client: TestClient, parent: str) -> None:
    body = {"recipe": [DROP, SWAP]}
    found = client.post(f"/v1/files/{parent}/versions/preview", json=body).raise_for_status().json()
    assert [(step["rows_before"], step["rows_after"]) for step in found["steps"]] == [
        (6, 4),
        (4, 4),
    ]
    assert found["steps"][1]["changed"][0]["after"]["chosen"][0]["content"] == "I could not say."
    assert (found["exact"], found["rows_read"], found["held_out"]) == (True, 6, None)
    assert client.get(f"/v1/files/{parent}/versions").json()["data"] == []

"""`oddsmith files overlap`: what it prints, what it uploads and deletes, the recipe it writes."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FakeApi

NEAR = {
    "line": 9,
    "prompt": "How far\n is it?",
    "against_line": 2,
    "against_prompt": "How far is it now?",
    "similarity": 0.87,
}
NOTHING: dict[str, Any] = {"rows": 0, "share": 0.0, "pairs": []}
FOUND = {
    "file_id": "file-1",
    "rows": 200,
    "same": {"rows": 12, "share": 0.06, "lines": [*range(20, 32)]},
    "near": {"rows": 1, "share": 0.005, "lines": [9]},
    "message": "Figures are too good.",
    "masked": True,
    "cut": False,
    "against": [
        {
            "file_id": "file-2",
            "filename": "held-out.jsonl",
            "prompts": 64,
            "without_prompt": 0,
            "same": {
                "rows": 12,
                "share": 0.06,
                "pairs": [
                    {**NEAR, "line": 20, "against_prompt": "how far is it?"} | {"similarity": 1}
                ],
            },
            "near": NOTHING,
        },
        {
            "file_id": "file-3",
            "filename": "prompts.jsonl",
            "prompts": 541,
            "without_prompt": 3,
            "same": NOTHING,
            "near": {"rows": 1, "share": 0.005, "pairs": [NEAR]},
        },
    ],
}
CLEAN = {
    **FOUND,
    "same": {"rows": 0, "share": 0.0, "lines": []},
    "near": {"rows": 0, "share": 0.0, "lines": []},
    "message": None,
    "against": [{**FOUND["against"][0], "same": NOTHING}],
}


def test_overlaps_with_a_file_and_a_path(api: FakeApi, oddsmith: Oddsmith, tmp_path: Path) -> None:
    prompts, recipe = tmp_path / "prompts.jsonl", tmp_path / "drop.json"
    prompts.write_text('{"prompt": "How far is it now?"}\n')
    api.on("POST /v1/files", {"id": "file-3", "status": "uploaded"})
    api.on("GET /v1/files/file-3", {"id": "file-3", "status": "error", "filename": "prompts.jsonl"})
    api.on("DELETE /v1/files/file-3", {"id": "file-3", "deleted": True})
    api.on("GET /v1/files/file-1", {"id": "file-1"})
    api.on("GET /v1/files/file-1/overlaps", FOUND)
    asked = ("files", "overlap", "file-1", "--against", "file-2", "--against", str(prompts))
    done = oddsmith(*asked, "--recipe", str(recipe))
    assert done.exit_code == 0, done.stderr
    shown = done.stdout
    assert "file-2" in shown.splitlines()[1]
    assert "12 (6.0%)" in shown.splitlines()[1]
    assert f"In 3 rows of {prompts} no prompt was found." in shown
    assert (
        "line 20 and line 2 of file-2\n  How far is it?\n  how far is it?\n… and 11 more." in shown
    )
    assert f"line 9 and line 2 of {prompts}  87% alike\n  How far is it?\n" in shown
    assert (
        "Of 200 rows, 12 (6.0%) the same prompt and 1 (0.5%) nearly the same prompt. Figures are "
        f"too good.\nDrop them with: oddsmith files make file-1 --recipe {recipe}\n"
    ) in shown
    assert json.loads(recipe.read_text()) == [
        {"step": "drop_rows", "lines": [*range(20, 32)]},
        {"step": "drop_rows", "lines": [9]},
    ]
    assert api.sent("DELETE", "/v1/files/file-3")
    assert not api.sent("DELETE", "/v1/files/file-2")
    assert json.loads(oddsmith(*asked, "--json").stdout) == FOUND


def test_few_rows_are_named_in_the_command(api: FakeApi, oddsmith: Oddsmith) -> None:
    few = {**FOUND, "same": {"rows": 1, "share": 0.005, "lines": [20]}}
    api.on("GET /v1/files/file-1/overlaps", {**few, "against": FOUND["against"][:1]})
    shown = oddsmith("files", "overlap", "file-1", "--against", "file-2", "--unmask").stdout
    assert shown.endswith("oddsmith files make file-1 --drop-line 9 --drop-line 20\n")
    assert api.requests[-1].query == {"against": "file-2", "unmask": "true"}


def test_nothing_is_written_without_an_overlap(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    recipe = tmp_path / "drop.json"
    api.on("GET /v1/files/file-1/overlaps", CLEAN)
    asked = ("files", "overlap", "file-1", "--against", "file-2", "--recipe", str(recipe))
    assert oddsmith(*asked).stdout.endswith("None of 200 rows overlap.\n")
    assert not recipe.exists()


def test_the_uploaded_prompts_are_deleted_after_a_refusal_too(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    prompts = tmp_path / "ids.jsonl"
    prompts.write_text("{}\n")
    api.on("POST /v1/files", {"id": "file-3", "status": "error"})
    api.on("GET /v1/files/file-3", {"id": "file-3", "status": "error"})
    api.on("DELETE /v1/files/file-3", {"id": "file-3", "deleted": True})
    refused = {"message": "No prompt was found in ids.jsonl.", "param": "against"}
    api.on("GET /v1/files/file-1", {"id": "file-1"})
    api.on("GET /v1/files/file-1/overlaps", lambda _: (400, {"error": refused}))
    done = oddsmith("files", "overlap", "file-1", "--against", str(prompts))
    assert done.exit_code == 4
    assert "No prompt was found in ids.jsonl." in done.stderr
    assert api.sent("DELETE", "/v1/files/file-3")
    assert oddsmith("files", "overlap", "file-1", "--against", "nowhere.jsonl").exit_code == 4


def test_a_file_that_is_not_there_is_refused_before_anything_is_uploaded(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("{}\n")
    done = oddsmith("files", "overlap", "file-9", "--against", str(prompts))
    assert (done.exit_code, api.sent("POST", "/v1/files")) == (4, [])
    paths = ("--against", str(prompts), "--against", "nowhere.jsonl")
    assert oddsmith("files", "overlap", "file-9", *paths).exit_code == 4
    assert len(api.requests) == 1  # the paths are looked for before any request

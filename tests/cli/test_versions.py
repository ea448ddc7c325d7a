"""`oddsmith files make`, `versions` and `export` against a fake API."""

import json
from pathlib import Path
from typing import Any

from cli.commands.versions import CONTAINERS, SHAPES
from orpo.rows.packed import Container
from orpo.rows.written import WRITABLE
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FILE, REPORT, FakeApi, error, listed

MADE = {**FILE, "id": "file-2", "status": "uploaded", "recipe": [{"step": "swap", "lines": [1]}],
        "parents": [{"id": "file-1", "sha256": "0"}], "accepted": None}  # fmt: skip
PATH = "/v1/files/file-1/versions"


def sent(api: FakeApi, path: str = PATH) -> dict[str, Any]:
    (request,) = api.sent("POST", path)
    return request.json


def test_a_recipe_from_a_file_and_short_forms_are_one_recipe(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    api.on(f"POST {PATH}", listed(MADE))
    path = tmp_path / "recipe.json"
    step = {"step": "filter", "field": "prompt", "min_chars": 3}
    path.write_text(json.dumps([step]))
    shown = oddsmith(
        "files", "make", "file-1", "--recipe", str(path), "--drop", "duplicate", "--drop",
        "whitespace", "--swap-line", "7", "--swap", "likely_swapped", "--deduplicate", "near",
        "--balance", "--sample", "1000", "--split", "0.1", "--seed", "3", "--name", "b.jsonl",
    )  # fmt: skip
    assert (shown.exit_code, shown.stdout.split()[:2]) == (0, ["file-2", "being"])
    assert sent(api) == {
        "recipe": [
            step,
            {"step": "drop", "finding": "duplicate"},
            {"step": "drop", "finding": "whitespace"},
            {"step": "swap", "lines": [7]},
            {"step": "swap", "finding": "likely_swapped"},
            {"step": "deduplicate", "by": "near"},
            {"step": "balance", "seed": 3},
            {"step": "sample", "n": 1000, "seed": 3},
            {"step": "split", "held_out": 0.1, "seed": 3},
        ],
        "filename": "b.jsonl",
    }


def test_a_version_that_can_t_be_made_ends_with_1_and_its_reason(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    api.on(f"POST {PATH}", listed(MADE))
    why = "The version could not be made. Step 1 (drop) leaves no row: it drops all 3."
    api.on("GET /v1/files/file-2", {**MADE, "status": "error", "status_details": why})
    result = oddsmith("files", "make", "file-1", "--drop", "x", "--wait")
    assert (result.exit_code, why in result.stderr) == (1, True)


def test_a_recipe_that_can_t_be_read_is_not_sent(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    assert oddsmith("files", "make", "file-1").exit_code == 2
    (tmp_path / "bad").write_text("{")
    assert oddsmith("files", "make", "file-1", "--recipe", str(tmp_path / "bad")).exit_code == 2
    (tmp_path / "no").write_text("{}")
    assert oddsmith("files", "make", "file-1", "--recipe", str(tmp_path / "no")).exit_code == 2
    assert not api.requests


def test_a_preview_shows_the_rows_of_each_step(api: FakeApi, oddsmith: Oddsmith) -> None:
    step = {
        "step": "sample",
        "rows_before": 9000,
        "rows_after": 4500,
        "rows_changed": 7,
        "changed": [],
    }
    found = {"exact": False, "rows_read": 5000, "held_out": None, "steps": [step]}
    api.on(f"POST {PATH}/preview", found)
    shown = oddsmith("files", "make", "file-1", "--sample", "0.5", "--preview").stdout
    assert "1   sample   9000          4500         7" in shown
    assert "These are counts of the first 5000 rows." in shown
    recipe = [{"step": "sample", "fraction": 0.5, "seed": 0}]
    assert sent(api, f"{PATH}/preview") == {"recipe": recipe}


def test_versions_are_listed_with_their_steps(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on(f"GET {PATH}", listed(MADE))
    assert "swap" in oddsmith("files", "versions", "file-1").stdout
    api.on("GET /v1/files/file-2", MADE)
    assert "made of    file-1" in oddsmith("files", "show", "file-2").stdout


def test_the_help_of_an_export_names_what_can_be_written() -> None:
    assert set(SHAPES.replace(" or", ",").split(", ")) == set(WRITABLE)
    assert set(CONTAINERS) == set(Container)


def test_an_export_is_written_once_it_is_complete(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    api.on("GET /v1/files/file-1/export", {"prompt": "a"})
    out = tmp_path / "a.jsonl.gz"
    result = oddsmith("files", "export", "file-1", "--shape", "openai", "-o", str(out))
    assert (result.exit_code, json.loads(out.read_bytes())) == (0, {"prompt": "a"})
    (request,) = api.sent("GET", "/v1/files/file-1/export")
    assert request.query == {"shape": "openai", "container": "jsonl.gz"}
    refused = (400, error("The shape hh_rlhf can't hold the pair of line 2.", "shape"))
    api.on("GET /v1/files/file-1/export", refused)
    result = oddsmith("files", "export", "file-1", "-o", str(tmp_path / "b.jsonl"))
    assert (result.exit_code, "line 2" in result.stderr) == (4, True)
    assert list(tmp_path.glob("b*")) == []


def test_a_file_that_is_being_made_says_how_far_it_is(api: FakeApi, oddsmith: Oddsmith) -> None:
    progress = {"stage": "make", "step": 2, "steps": 4, "name": "filter", "done": 30, "total": 90,
                "unit": "rows"}  # fmt: skip
    api.on("GET /v1/files/file-2", {**MADE, "progress": progress})
    shown = oddsmith("files", "show", "file-2").stdout
    assert "being made, 33%" in shown
    assert "Making the rows, step 2 of 4 (filter): 30 of 90 rows" in shown
    packed = {"stage": "validate", "done": 5000, "total": None, "unit": "bytes"}
    api.on("GET /v1/files/file-2", {**MADE, "progress": packed})
    assert "Checking the rows: 5.0 kB" in oddsmith("files", "show", "file-2").stdout


def test_a_report_says_what_each_step_did(api: FakeApi, oddsmith: Oddsmith) -> None:
    step = {"step": "map", "rows_before": 172, "rows_after": 171, "rows_changed": 9}
    api.on("GET /v1/files/file-2/report", {**REPORT, "steps": [step]})
    assert "1   map    172           171          9" in oddsmith("files", "report", "file-2").stdout

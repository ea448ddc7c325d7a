"""What commands say of a file's state and rows: the words of the page."""

import re
from pathlib import Path

import pytest

from cli.commands import file_progress, reports
from cli.stack.parts import ROOT
from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FILE, REPORT, FakeApi, listed


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"rows": 1174, "accepted": 1172}, "1,172 of 1,174 rows can be used; 2 were dropped."),
        ({"rows": 9, "accepted": 8}, "8 of 9 rows can be used; 1 was dropped."),
        ({"rows": 9, "accepted": 9}, "All 9 rows can be used."),
        ({"rows": 1, "accepted": 1}, "Its one row can be used."),
        (
            {"rows": 9, "accepted": 3, "joined": 3},
            "3 pairs were made of 9 rows; 3 were dropped.",
        ),
    ],
)
def test_an_upload_that_waits_says_how_many_rows_can_be_used(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path, counts: dict[str, int], said: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", FILE)
    api.on("GET /v1/files/file-1/report", {**REPORT, **counts})
    shown = oddsmith("files", "upload", str(path), "--wait").stdout
    assert shown == f"file-1  ready\n{said}\nIts report: oddsmith files report file-1\n"


def test_a_verdict_of_no_rows_is_the_page_s() -> None:
    assert reports.verdict({"rows": 0, "accepted": 0}) == "The file holds no row."
    assert reports.verdict({"rows": 9, "accepted": 0}) == "None of its 9 rows can be used."


def test_states_of_files_have_the_words_of_the_page() -> None:
    page = (ROOT / "web/src/features/files/file-progress.ts").read_text()
    stages = re.findall(r'(\w+): \{ state: "(.+?)", does: "(.+?)" \}', page)
    assert {stage: words for stage, *words in stages} == {
        stage: [*words] for stage, words in file_progress.STAGES.items()
    }
    assert 'if (file.status === "processed") return "ready";' in page
    assert file_progress.state({"status": "processed"}) == "ready"
    report = (ROOT / "web/src/features/files/components/report.tsx").read_text()
    for words in ("The file holds no row.", "rows can be used;", "pairs were made of"):
        assert words in report


def test_files_are_listed_with_their_state_and_usable_rows(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    progress = {"stage": "validate", "done": 43, "total": 100, "unit": "rows"}
    api.on(
        "GET /v1/files",
        listed(
            {**FILE, "rows": 174, "accepted": 172},
            {**FILE, "id": "file-2", "rows": 1200, "accepted": 1200},
            {**FILE, "id": "file-3", "status": "uploaded", "sha256": "0", "progress": progress},
            {**FILE, "id": "file-4", "status": "uploaded", "sha256": ""},
        ),
    )
    lines = oddsmith("files", "list").stdout.splitlines()[1:]
    shown = [re.split(r" {2,}", line)[2:4] for line in lines]
    assert shown[:2] == [["ready", "172 of 174 usable"], ["ready", "1,200"]]
    assert [states for states, _ in shown[2:]] == ["being checked, 43%", "being made"]

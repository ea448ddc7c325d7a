"""`oddsmith files` against a fake API."""

import json
import re
from pathlib import Path

from tests.cli.conftest import Oddsmith
from tests.cli.fake_api import FILE, REPORT, FakeApi, listed


def test_upload_sends_the_file_and_waits_for_its_validation(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a"}\n')
    statuses = iter(["uploaded", "processed"])
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    api.on("GET /v1/files/file-1", lambda _: {**FILE, "status": next(statuses)})
    result = oddsmith("files", "upload", str(path), "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "processed")
    (request,) = api.sent("POST", "/v1/files")
    assert b'{"prompt": "a"}\n' in request.body
    assert b"fine-tune" in request.body
    assert "content-length" in request.headers


def test_a_file_is_downloaded_as_it_is(api: FakeApi, oddsmith: Oddsmith, tmp_path: Path) -> None:
    api.on("GET /v1/files/file-1/content", b"a,b\n")
    out = tmp_path / "table.csv"
    done = oddsmith("files", "download", "file-1", "-o", str(out))
    assert (done.exit_code, out.read_bytes()) == (0, b"a,b\n")
    refused = oddsmith("files", "download", "file-1", "-o", str(tmp_path / "none" / "x"))
    assert (refused.exit_code, "can't be written" in refused.stderr) == (1, True)
    assert [*tmp_path.iterdir()] == [out]


def test_a_file_that_fails_validation_ends_with_1_and_its_reason(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}")
    api.on("POST /v1/files", {**FILE, "status": "uploaded"})
    broken = {**FILE, "status": "error", "status_details": "No row was accepted."}
    api.on("GET /v1/files/file-1", broken)
    result = oddsmith("files", "upload", str(path), "--wait")
    assert result.exit_code == 1
    assert "No row was accepted. See: oddsmith files report file-1" in result.stderr


def test_columns_with_other_names_are_sent_as_json(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("question,best,worst")
    api.on("POST /v1/files", FILE)
    columns = "prompt=question, chosen=best"
    assert oddsmith("files", "upload", str(path), "--columns", columns).exit_code == 0
    (request,) = api.sent("POST", "/v1/files")
    assert b'{"prompt": "question", "chosen": "best"}' in request.body
    spelled = '{"prompt": "a, b", "chosen": "c=d"}'
    assert oddsmith("files", "upload", str(path), "--columns", spelled).exit_code == 0
    assert spelled.encode() in api.sent("POST", "/v1/files")[1].body
    refused = oddsmith("files", "upload", str(path), "--columns", '{"prompt": 1}')
    assert "needs the name of a column" in refused.stderr
    refused = oddsmith("files", "upload", str(path), "--columns", "question")
    assert (refused.exit_code, len(api.sent("POST", "/v1/files"))) == (2, 2)
    assert "prompt=question,chosen=best,rejected=worst" in refused.stderr


def test_a_file_of_prompts_is_uploaded_and_its_report_names_the_suites(
    api: FakeApi, oddsmith: Oddsmith, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("Why?")
    api.on("POST /v1/files", FILE)
    assert oddsmith("files", "upload", str(path), "--purpose", "evals").exit_code == 0
    (request,) = api.sent("POST", "/v1/files")
    assert b"\r\n\r\nevals\r\n" in request.body
    assert oddsmith("files", "upload", str(path), "--purpose", "other").exit_code == 2
    found = {"repeated": 2, "turns": 1, "suites": ["custom", "ifeval"], "unfit": {}}
    report = {**REPORT, "shape": None, "prompts": {**found, "official": "ifeval"}}
    api.on("GET /v1/files/file-1/report", report)
    shown = oddsmith("files", "report", "file-1").stdout
    assert re.search(r"fits the suites +custom, ifeval\n", shown)
    assert re.search(r"official file of +ifeval\n", shown)
    assert re.search(r"repeated, asked once +2\n", shown)


def test_a_file_is_read_again_under_other_column_names(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("POST /v1/files/file-1/rereads", {**FILE, "id": "file-2", "status": "uploaded"})
    done = oddsmith("files", "reread", "file-1", "--columns", "prompt=question,chosen=best")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "file-2  being checked")
    (request,) = api.sent("POST", "/v1/files/file-1/rereads")
    assert json.loads(request.body) == {"columns": {"prompt": "question", "chosen": "best"}}


def test_the_report_shows_the_command_that_reads_the_columns(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    columns = {"prompt": "the question", "chosen": "best"}
    report = {**REPORT, "container": "parquet", "suggested_columns": columns}
    api.on("GET /v1/files/file-1/report", report)
    shown = oddsmith("files", "report", "file-1").stdout
    assert "files reread file-1 --columns 'prompt=the question,chosen=best'" in shown
    assert "\nrow " in shown


def test_a_missing_path_is_refused_before_anything_is_sent(
    api: FakeApi, oddsmith: Oddsmith
) -> None:
    result = oddsmith("files", "upload", "nowhere.jsonl")
    says = "error: File 'nowhere.jsonl' not found. Give a path that exists.\n"
    assert (result.exit_code, result.stderr) == (4, says)
    result = oddsmith("files", "upload", "/")
    assert (result.exit_code, result.stderr) == (4, "error: / is a folder. Name a file of it.\n")
    assert not api.requests


def test_report_shows_counts_and_findings_by_line(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1/report", REPORT)
    shown = oddsmith("files", "report", "file-1").stdout
    assert "accepted             172" in shown
    assert "dropped: bad_json    1" in shown
    assert "9      17       bad_json    A comma is missing." in shown
    assert "extra   12     this key is not read   1, 2, 3, 4, 5, 6, 7, 8, 9, 10…" in shown
    assert json.loads(oddsmith("files", "report", "file-1", "--json").stdout) == REPORT


AUDIT = {
    "verdict": "check",
    "reasons": ["3 rows of 172 (1.7%): The chosen answer begins like a refusal."],
    "findings": [
        {
            "code": "refusal",
            "severity": "warning",
            "rows": 12,
            "lines": [4, 5, 6, 7, 8, 9],
            "message": "The chosen answer begins like a refusal.",
            "repair": {"step": "drop", "finding": "refusal"},
        }
    ],
    "length": {
        "longer_wins": 0.8,
        "length_only_accuracy": None,
        "bag_of_words_accuracy": 0.75,
        "n_tested": 49,
        "mean_chosen_chars": 1011.2,
        "mean_rejected_chars": 606.5,
    },
    "languages": [{"language": "en", "rows": 170}, {"language": "unknown", "rows": 2}],
    "sampled": 172,
}


def test_report_begins_with_the_verdict(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1/report", {**REPORT, "audit": AUDIT})
    shown = oddsmith("files", "report", "file-1").stdout
    assert shown.startswith(
        "look at it before you train on it\n"
        "- 3 rows of 172 (1.7%): The chosen answer begins like a refusal.\n"
    )
    assert "warning    refusal   12     4, 5, 6, 7, 8…\n" in shown
    assert "\nrefusal: The chosen answer begins like a refusal.\n" in shown
    assert re.search(r"^the longer answer wins +80%$", shown, re.MULTILINE)
    assert "by length alone" not in shown
    assert "en 170, unknown 2" in shown


def test_report_says_why_there_is_no_audit(api: FakeApi, oddsmith: Oddsmith) -> None:
    failed = {**REPORT, "audit": None, "audit_failure": "The audit took too long."}
    api.on("GET /v1/files/file-1/report", failed)
    shown = oddsmith("files", "report", "file-1").stdout
    assert shown.startswith("no audit: The audit took too long.\n")


TOKENS = {
    "dropped": None,
    "truncated": True,
    "prefix": {
        "n_tokens": 9,
        "n_trained": 0,
        "tokens": [{"id": 1, "text": "<|im_start|>user\n", "trained": False}],
    },
    "chosen": {
        "n_tokens": 3,
        "n_trained": 2,
        "tokens": [
            {"id": 2, "text": "\x1b[2JBecause", "trained": True},
            {"id": 3, "text": ".", "trained": True},
            {"id": 4, "text": "\n", "trained": False},
        ],
    },
    "rejected": None,
}


def test_show_prints_the_tokens_of_a_row(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1/rows/7/tokens", TOKENS)
    shown = oddsmith("files", "show", "file-1", "--line", "7", "--model", "tiny").stdout
    assert shown == (
        "prefix: tokens 9, trained 0\n  <|im_start|>user⏎\n  … and 8 more.\n"
        "chosen: tokens 3, trained 2\n  ⟦Because.⟧⏎\n"
        "The row is longer than max_length: it was cut.\n"
    )
    assert api.requests[-1].query["model"] == "tiny"
    api.on(
        "GET /v1/files/file-1/rows/8/tokens",
        {**TOKENS, "dropped": "prompt_too_long", "why": "It is long."},
    )
    shown = oddsmith("files", "show", "file-1", "--line", "8", "--model", "tiny").stdout
    assert shown == "A run leaves line 8 out (prompt_too_long). It is long.\n"


def test_show_needs_a_line_and_a_model(api: FakeApi, oddsmith: Oddsmith) -> None:
    result = oddsmith("files", "show", "file-1", "--line", "7")
    assert (result.exit_code, result.stderr) == (2, "error: --line and --model belong together.\n")


def test_list_shows_names_as_plain_text(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files", listed({**FILE, "filename": "[red]x\x1b[2J\u202e.jsonl"}))
    shown = oddsmith("files", "list").stdout
    assert "[red]x.jsonl" in shown
    assert "\x1b" not in shown
    assert json.loads(oddsmith("files", "list", "--json").stdout)[0]["id"] == "file-1"


def test_delete_says_what_is_gone(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("DELETE /v1/files/file-1", {"id": "file-1", "deleted": True})
    assert oddsmith("files", "delete", "file-1").stdout == "Deleted file-1.\n"


def row(line: int, **more: object) -> dict[str, object]:
    prompt = [{"role": "user", "content": "Why\x1b[2J?\nSay."}]
    answers = {name: [{"role": "assistant", "content": name * 60}] for name in ("chosen",)}
    facts = {"place": line - 1, "findings": [], "group": None, "rejected": None}
    return {"line": line, "prompt": prompt, **answers, **facts, **more}


def test_rows_are_listed_page_by_page_up_to_the_limit(api: FakeApi, oddsmith: Oddsmith) -> None:
    pages = {
        "0": {"data": [row(1, findings=["email", "cut"], group=2)], "next_offset": 40},
        "40": {"data": [row(9), row(10)], "next_offset": 41},
    }
    api.on("GET /v1/files/file-1/rows", lambda request: pages[request.query["offset"]])
    asked = ("files", "rows", "file-1", "--limit", "3", "--finding", "email", "--search", "Why")
    shown = oddsmith(*asked).stdout
    assert "line 1  group 2  email, cut\n  prompt    Why?  Say.\n" in shown.replace(
        "Why? Say", "Why?  Say"
    )
    assert "line 10\n" in shown
    assert "More rows follow. Go on with: --offset 41" in shown
    assert "\x1b" not in shown
    first = api.requests[0].query
    assert (first["finding"], first["search"], first["limit"]) == ("email", "Why", "3")
    found = json.loads(oddsmith(*asked, "--json").stdout)
    assert ([each["line"] for each in found["data"]], found["offset"]) == ([1, 9, 10], 0)
    api.on("GET /v1/files/file-1/rows", {"data": [], "next_offset": None})
    assert oddsmith("files", "rows", "file-1").stdout == "No row fits.\n"


def test_dropped_rows_are_shown_with_their_text(api: FakeApi, oddsmith: Oddsmith) -> None:
    found = {"line": 9, "column": 17, "code": "bad_json", "message": "A comma is missing."}
    page = {
        "data": [
            {**found, "text": '{"a":\t1 2}', "first_character": 1},
            {**found, "column": None, "text": None, "first_character": 1},
        ],
        "total": 130,
    }
    api.on("GET /v1/files/file-1/dropped", page)
    assert oddsmith("files", "dropped", "file-1").stdout == (
        'line 9, column 17  bad_json: A comma is missing.\n  {"a": 1 2}\n'
        "line 9  bad_json: A comma is missing.\n  (its text can't be shown)\n"
        "… and 128 more. The first hundred are kept.\n"
    )
    api.on("GET /v1/files/file-1/dropped", {"data": [], "total": 0})
    assert oddsmith("files", "dropped", "file-1").stdout == "No row was dropped.\n"


SPREAD = {"mean": 40.4, "p50": 38, "p95": 90, "max": 700, "bin_width": 30, "histogram": [9, 1, 2]}
STATISTICS = {
    "rows": 4000,
    "sampled": 2000,
    "max_length": 512,
    "tokens": {"prompt": SPREAD, "chosen": SPREAD, "rejected": None, "sequence": SPREAD},
    "cut": {
        "longer": 20,
        "trained": 10,
        "lines": [*range(3, 13)],
        "message": "20 of 2000 sampled pairs are longer.",
        "repairs": [{"max_length": 900, "longer": 0}, {"max_length": 600, "longer": 19}],
    },
    "dropped": {"prompt_too_long": 10},
    "left_out": [
        {
            "code": "prompt_too_long",
            "pairs": 10,
            "lines": [20, 21],
            "message": "No room.",
            "hint": "Raise max_length.",
        }
    ],
    "turns": [{"turns": 2, "pairs": 2000}],
    "roles": {"user": 2000, "assistant": 2000},
    "saved_by_sharing": 0.25,
    "job": {
        "pairs": 3900,
        "held_out_pairs": 64,
        "steps": 488,
        "tokens": 500_000,
        "train_s": 65.0,
        "speed": {"estimate": "ftjob-1", "tokens_per_s": 7692.3, "device": "CPU"},
    },
}


def test_statistics_for_a_base_model(api: FakeApi, oddsmith: Oddsmith) -> None:
    api.on("GET /v1/files/file-1/statistics", STATISTICS)
    asked = ("files", "statistics", "file-1", "--model", "tiny", "--max-length", "512")
    shown = oddsmith(*asked).stdout
    assert "Counted on 2000 of 4000 rows.\n" in shown
    assert "longer sequence   40     38    90    700   █▁▂" in shown
    assert "longer than 512             20 (1.0%)" in shown
    assert "training takes              1:05 min on CPU" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert api.requests[-1].query == {"model": "tiny", "max_length": "512"}
    assert json.loads(oddsmith(*asked, "--json").stdout) == STATISTICS
    api.on("GET /v1/files/file-1/statistics", {**STATISTICS, "job": None})
    assert "training takes" not in oddsmith(*asked).stdout
    assert shown.endswith(
        "\n20 of 2000 sampled pairs are longer.\nCut: lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12\n"
        "With max_length 900, none is longer.\nWith max_length 600, 19 pairs are longer.\n"
        "\nLeft out (prompt_too_long): lines 20, 21…\nNo room. Raise max_length.\n"
    )


def test_masked_rows_are_shown_on_request(api: FakeApi, oddsmith: Oddsmith) -> None:
    turn = [{"role": "user", "content": "[email]"}]
    row = {
        "line": 1, "group": None, "findings": ["email"], "prompt": turn, "chosen": turn,
        "rejected": None, "masked": True,
    }  # fmt: skip
    api.on("GET /v1/files/file-1/rows", {"data": [row], "next_offset": None})
    said = "Personal data and secrets are masked; --unmask shows them.\n"
    assert oddsmith("files", "rows", "file-1").stdout.endswith(said)
    api.on("GET /v1/files/file-1/rows", {"data": [row | {"masked": False}], "next_offset": None})
    assert said not in oddsmith("files", "rows", "file-1", "--unmask").stdout
    assert api.requests[-1].query["unmask"] == "true"
    dropped = {"line": 2, "column": None, "code": "x", "message": "y", "text": "[iban]"}
    page = {"data": [dropped | {"first_character": 1, "masked": True}], "total": 1}
    api.on("GET /v1/files/file-1/dropped", page)
    assert oddsmith("files", "dropped", "file-1", "--unmask").stdout.endswith(said)
    assert api.requests[-1].query["unmask"] == "true"

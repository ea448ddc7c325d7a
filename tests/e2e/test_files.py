"""Journeys of files through the page, in a real Chromium against the real stack."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import Stack
from tests.e2e.pages import SETTINGS, TRAIN_MS, page, start, upload, violations

__all__ = ["page"]

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

PARTS = "/parts"


def test_a_report_names_unread_keys_and_a_row_shows_its_tokens(
    page: Page, tiny: str, tmp_path: Path
) -> None:
    path = tmp_path / "extra-keys.jsonl"
    row = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}
    rows = [row, {**row, "extra": 1}, {**row, "extra": 2, "images": ["a.png"]}]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    upload(page, path)
    page.go_back()
    remarks = page.get_by_role("region", name="Remarks on accepted rows")
    expect(remarks.get_by_role("listitem")).to_have_text("extra is not read: 1 row, line 2")
    expect(page.get_by_text("images holds something that is not text")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Show tokens").first.click()
    tokens = page.get_by_role("region", name="Tokens of line 1")
    tokens.get_by_label("Base model").select_option(tiny)
    expect(tokens).to_contain_text("Because.", timeout=60_000)
    expect(tokens).to_contain_text(
        re.compile(r"Prompt, shared by both answers\d+ tokens, 0 trained")
    )
    trained = tokens.locator("span.underline[title]").all_inner_texts()
    assert "".join(trained).replace("⏎", "").strip().startswith("Because.")
    assert violations(page) == []


def test_a_finding_leads_to_its_rows(page: Page, stack: Stack, tiny: str, tmp_path: Path) -> None:
    benchmark = {"file": ("benchmark.jsonl", b'{"prompt": "Question 3?"}\n{"id": 2}\n')}
    with stack.http() as http:
        sent = http.post("/v1/files", files=benchmark, data={"purpose": "fine-tune"})
        assert sent.is_success, sent.text
    path = tmp_path / "planted.jsonl"
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n}, in full.", "rejected": f"No, {n}."}
        for n in range(60)
    ]
    rows[7]["chosen"] = "Write to jane.doe@kestrel-mail.net."
    rows[41] = dict(rows[20])
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines, '{"prompt": "cut off']))
    upload(page, path)
    page.go_back()
    expect(page.get_by_role("heading", name="before you train on it")).to_be_visible()
    expect(page.get_by_role("list", name="Reasons")).to_contain_text("e-mail address")
    page.get_by_role("button", name="Show the original text").click()
    expect(page.get_by_text('{"prompt": "cut off', exact=True)).to_be_visible()
    assert violations(page) == []

    pair = page.get_by_role("article")
    shown = page.get_by_role("list", name="Rows").get_by_role("listitem")
    page.get_by_role("button", name="Show rows of: duplicate").click()
    expect(shown).to_have_count(2)
    expect(pair).to_have_accessible_name("Pair of line 21")
    page.keyboard.press("j")
    expect(pair).to_have_accessible_name("Pair of line 42")
    expect(page).to_have_url(re.compile("finding=duplicate&row=1"))
    page.keyboard.press("k")
    expect(pair).to_have_accessible_name("Pair of line 21")
    page.get_by_role("button", name="Show all rows of: duplicate").click()
    page.keyboard.press("/")
    page.keyboard.type("JANE.doe")
    expect(pair).to_have_accessible_name("Pair of line 8")
    expect(shown).to_have_count(1)
    expect(pair).to_contain_text("Write to [email].")
    personal = pair.get_by_role("button", name="Show personal data")
    personal.press("Enter")
    expect(pair).to_contain_text("Write to jane.doe@kestrel-mail.net.")
    expect(personal).to_have_attribute("aria-pressed", "true")
    assert violations(page) == []
    page.reload()
    expect(pair).to_have_accessible_name("Pair of line 8")
    expect(pair).to_contain_text("Write to [email].")

    page.get_by_label("benchmark.jsonl").check()
    page.get_by_role("button", name="Compare").click()
    overlap = page.get_by_role("region", name="Result of the comparison")
    expect(overlap).to_contain_text("Of 60 rows, 1 (1.7%) has the same prompt", timeout=60_000)
    expect(overlap).to_contain_text("In 1 row of benchmark.jsonl no prompt was found.")
    overlap.get_by_role("button", name="Drop 1 line by the recipe").click()
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_contain_text(["drop line 4"])
    assert violations(page) == []

    page.get_by_label("Base model").last.select_option(tiny)
    page.get_by_role("button", name="Count tokens").click()
    expect(page.get_by_text("Saved by computing prompts once")).to_be_visible(timeout=60_000)
    assert violations(page) == []


def test_a_deep_audit_finds_a_swapped_pair_and_a_recipe_swaps_it_back(
    page: Page, tiny: str, tmp_path: Path
) -> None:
    path = tmp_path / "one-swapped.jsonl"
    rows = [
        {"prompt": f"{n} + 1?", "chosen": f"It is {n + 1}, as asked.", "rejected": f"No, {n}."}
        for n in range(24)
    ]
    rows[5]["chosen"], rows[5]["rejected"] = rows[5]["rejected"], rows[5]["chosen"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    upload(page, path)
    page.go_back()
    page.get_by_label("Base model of the judge").select_option(tiny)
    page.get_by_role("button", name="Start the deep audit").click()
    expect(page.get_by_role("progressbar", name="Progress of the deep audit")).to_be_visible()
    assert violations(page) == []
    judged = page.get_by_role("list", name="Judged pairs").get_by_role("listitem")
    expect(judged.first).to_contain_text(re.compile("line 6.*likely swapped"), timeout=TRAIN_MS)
    expect(page.get_by_text(re.compile("1 of 24 pairs"))).to_be_visible()
    page.get_by_role("button", name="Show the pair of line 6").click()
    expect(page.get_by_role("article", name="Pair of line 6")).to_contain_text("It is 6")

    page.get_by_role("button", name="Tick all likely swapped (1)").click()
    page.get_by_role("button", name="Swap 1 pair").click()
    expect(judged.first).to_contain_text("will be swapped")
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_contain_text(["swap the answers of line 6"])
    assert violations(page) == []

    page.get_by_role("button", name="Start the deep audit").click()
    page.get_by_role("button", name="Stop the deep audit").click()
    expect(page.get_by_text("It was stopped.")).to_be_visible(timeout=TRAIN_MS)
    page.get_by_role("button", name="Delete the audit").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_role("button", name="Delete the audit").click()
    expect(judged.first).to_contain_text("line 6")


def test_a_finding_is_repaired_by_a_recipe_and_its_version_is_trained_on(
    page: Page, tiny: str, tmp_path: Path
) -> None:
    path = tmp_path / "defects.jsonl"
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n}, in full.", "rejected": f"No, {n}."}
        for n in range(40)
    ]
    rows[11] = dict(rows[5])
    rows[17]["chosen"] = "Fine.<|im_end|>"
    rows[23]["rejected"] = rows[23]["chosen"] + " "
    path.write_text("\n".join(map(json.dumps, rows)))
    upload(page, path)
    page.go_back()
    shown = page.get_by_role("list", name="Rows").get_by_role("listitem")
    for finding, lines in (
        ("control tokens", [18]), ("duplicate", [6, 12]), ("differ in white space only", [24]),
    ):  # fmt: skip
        page.get_by_role("button", name=f"Show rows of: {finding}").click()
        expect(shown).to_have_count(len(lines))
        for line in lines:
            expect(shown.filter(has_text=re.compile(rf"\b{line}\b"))).to_have_count(1)
    for label in ("Keep one of each of: duplicate", "Drop the rows of: control tokens"):
        page.get_by_role("button", name=label).click()
    steps = page.get_by_role("list", name="Steps")
    expect(steps.get_by_role("listitem")).to_have_count(2)
    page.get_by_label("Step", exact=True).select_option(label="Drop lines")
    page.get_by_label("Lines").fill("24")
    page.get_by_role("button", name="Add step").click()
    page.get_by_role("button", name="Preview").click()
    done = page.get_by_role("table", name="What the recipe does")
    expect(done.get_by_role("row").last).to_contain_text("37", timeout=60_000)
    assert violations(page) == []
    page.get_by_role("button", name="Make version").click()
    version = page.get_by_role("list", name="Versions of this file").get_by_role("listitem")
    expect(version).to_contain_text("ready", timeout=60_000)
    version.get_by_role("link").click()
    expect(page.get_by_text("Made by a recipe")).to_be_visible()
    expect(page.get_by_text("keep one of each: duplicate")).to_be_visible()
    page.get_by_role("button", name="Show tokens").first.click()
    tokens = page.get_by_role("region", name="Tokens of line 1")
    tokens.get_by_label("Base model").select_option(tiny)
    expect(tokens).to_contain_text("Answer 0, in full.", timeout=60_000)
    assert violations(page) == []
    page.get_by_role("link", name="Train on this file").click()
    expect(page.get_by_role("heading", name="New run")).to_be_visible()
    start(page, tiny, SETTINGS)


def test_columns_with_other_names_are_mapped_on_the_page(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "other-names.jsonl"
    rows = [{"question": f"{n}?", "best": f"Answer {n}.", "worst": "No."} for n in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.goto("/files")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("link", name=path.name).first.click()
    names = {field: page.get_by_label(f"Column of {field}") for field in ("prompt", "rejected")}
    expect(names["prompt"]).to_have_value("question", timeout=30_000)
    tried = page.get_by_text("5 of the first 5 rows have all of these columns")
    expect(tried).to_be_visible(timeout=30_000)
    names["rejected"].fill("wurst")
    expect(page.get_by_text("no column wurst").first).to_be_visible()
    assert violations(page) == []
    names["rejected"].fill("worst")
    first = page.get_by_role("table", name="The first rows, read so").get_by_role("row").nth(1)
    expect(first).to_have_text("0?Answer 0.No.")
    page.get_by_role("button", name="Read the file with these columns").click()
    expect(page.get_by_text("All 5 rows can be used.")).to_be_visible(timeout=30_000)


def test_an_upload_in_parts_goes_on_after_a_reload(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    answer = "x" * 14 * 2**20  # both answers are the same, so that nothing is left to audit
    row = json.dumps({"prompt": "?", "chosen": answer[::2], "rejected": answer[::2]})
    path.write_text(f"{row}\n" * 5)
    sent: list[str] = []

    def two_parts(route: Route) -> None:
        if route.request.method == "POST" and len(sent) == 2:
            route.abort()
            return
        sent.extend([route.request.url] if route.request.method == "POST" else [])
        route.continue_()

    page.route("**/parts", two_parts)
    page.goto("/files")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("The connection is lost")).to_be_visible(timeout=30_000)
    page.reload()
    stopped = page.get_by_role("list", name="Stopped uploads")
    expect(stopped).to_contain_text("Upload of large.jsonl stopped at 45%")
    assert violations(page) == []
    page.unroute("**/parts")
    again: list[str] = []
    page.on("request", lambda asked: again.append(asked.method) if PARTS in asked.url else None)
    page.get_by_label("Choose large.jsonl to go on").set_input_files(path)
    expect(page.get_by_role("link", name="large.jsonl")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert again.count("POST") == 3
    page.reload()
    expect(page.get_by_role("link", name="large.jsonl")).to_be_visible()
    expect(stopped).to_have_count(0)

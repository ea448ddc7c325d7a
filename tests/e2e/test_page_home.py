"""Home, the system's page, the titles of tabs and the list of keys, in a real Chromium."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import EXAMPLES, Stack
from tests.e2e.pages import page, violations
from tests.e2e.wait import wait_for

__all__ = ["page"]

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

ENDED = ("succeeded", "failed", "cancelled")
SLOW_MS = 60_000


@pytest.fixture
def two_runs(stack: Stack, tiny: str, upload: Callable[..., str]) -> Iterator[list[str]]:
    """Two runs on the only train worker: the first trains until it is cancelled."""
    file = upload(EXAMPLES / "short-answers.jsonl")
    settings = {"max_steps": 2000, "batch_size": 1, "eval_every": 2000, "n_samples": 0}
    method = {"type": "orpo", "orpo": {"hyperparameters": settings}}
    body = {"model": tiny, "training_file": file, "method": method}

    def create(http: Any, suffix: str) -> str:
        answer = http.post("/v1/fine_tuning/jobs", json=body | {"suffix": suffix})
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    with stack.http() as http:

        def job(job_id: str) -> dict[str, Any]:
            return http.get(f"/v1/fine_tuning/jobs/{job_id}").json()

        first = create(http, "home-first")
        wait_for(lambda: (job(first)["progress"] or {}).get("step", 0) > 0, 240, stack.logs)
        second = create(http, "home-second")
        yield [first, second]
        for job_id in (second, first):
            if job(job_id)["status"] not in ENDED:
                http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel")
        wait_for(lambda: job(first)["status"] in ENDED, 60, stack.logs)


def test_what_runs_and_what_waits_is_told_on_every_page(
    page: Page, stack: Stack, two_runs: list[str]
):
    first, second = two_runs
    page.goto("/")
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    expect(page.get_by_role("region", name="Next step").get_by_role("link")).to_have_count(1)
    running = page.get_by_role("listitem").filter(has_text="home-first")
    expect(running.get_by_text(re.compile(r"Step \d+ of 2000"))).to_be_visible(timeout=SLOW_MS)
    busy = "Waits for a free train worker: 1 of 1 is busy"
    waiting = page.get_by_role("listitem").filter(has_text="home-second")
    expect(waiting.get_by_text(busy)).to_be_visible(timeout=SLOW_MS)
    expect(page).to_have_title(re.compile(r"^\d+% · home-first and 1 more · Oddsmith$"))
    assert violations(page) == []

    page.get_by_role("link", name="System").first.click()
    expect(page).to_have_title("System · Oddsmith")
    row = page.get_by_role("table", name="Queue").get_by_role("row").filter(has_text="home-second")
    expect(row.get_by_text(busy)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^run "))).to_have_attribute(
        "href", re.compile(first)
    )
    expect(page.get_by_role("heading", name="Disk")).to_be_visible()
    expect(page.get_by_role("term").filter(has_text="Sandbox")).to_be_visible()
    assert violations(page) == []

    page.goto("/jobs")
    expect(page.get_by_title(re.compile(busy))).to_be_visible()
    page.goto(f"/jobs/{second}")
    expect(page).to_have_title("queued · home-second · Oddsmith")
    expect(page.get_by_text(re.compile(busy)).first).to_be_visible()

    page.goto(f"/jobs/{first}")
    expect(page).to_have_title(re.compile(r"^\d+% · home-first · Oddsmith$"))
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page).to_have_title("cancelled · home-first · Oddsmith", timeout=SLOW_MS)


def test_a_question_mark_shows_the_keys_of_this_page(page: Page, tiny: str):
    page.goto("/files")
    expect(page.get_by_role("heading", name="Files")).to_be_visible()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys of this page")
    expect(keys.get_by_role("term")).to_have_text(["?"])
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)

    page.goto("/playground")
    # Once the models are chosen, the conversation begins.
    expect(page).to_have_url(re.compile("[?]a="))
    expect(page.get_by_label("Message to both models")).to_be_visible()
    page.keyboard.press("?")
    expect(keys).to_contain_text("Write a message")
    expect(keys).to_contain_text("Stop both answers")
    assert violations(page) == []
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    page.keyboard.type("why?")
    expect(page.get_by_label("Message to both models")).to_have_value("why?")
    expect(keys).to_have_count(0)

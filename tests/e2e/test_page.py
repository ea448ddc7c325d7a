"""User journeys through the page, in a real Chromium against the real stack."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import EXAMPLES, Stack, register
from tests.e2e.pages import SETTINGS, TRAIN_MS, page, start, upload, violations
from tests.e2e.voting import from_vote_to_form
from tests.e2e.wait import wait_for

__all__ = ["page"]

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

DEPLOY_MS = 180_000


def test_what_a_run_takes_is_measured_before_it_is_started(page: Page, tiny: str) -> None:
    upload(page, EXAMPLES / "short-answers.jsonl")
    page.get_by_label("Base model").select_option(tiny)
    page.get_by_role("button", name="Measure what it takes").click()
    expect(page.get_by_text(re.compile(r"tokens at .* a second"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile(r"optimizer .*B"))).to_be_visible()
    assert violations(page) == []
    page.get_by_label("batch_size", exact=True).fill("3")
    expect(page.get_by_text("The settings have changed")).to_be_visible()
    page.get_by_label("lambda", exact=True).fill("-1")
    page.get_by_role("button", name="Measure what it takes").click()
    expect(page.locator("[data-field=lambda]")).to_contain_text("must be 0 or more")


@pytest.mark.engine
def test_from_a_file_to_votes_and_the_next_form(
    page: Page, stack: Stack, tiny: str, tmp_path: Path, until: Callable[..., dict]
):
    path = tmp_path / "page-pairs.jsonl"
    path.write_text("".join((EXAMPLES / "short-answers.jsonl").open().readlines()[:16]))
    upload(page, path)
    job_id = start(page, tiny, SETTINGS)

    # The curve is shown during the run, and the run continues without the tab.
    divergence = page.get_by_role("figure", name="Divergence")
    expect(divergence).to_be_visible(timeout=TRAIN_MS)
    with stack.http() as http:
        assert http.get(f"/v1/fine_tuning/jobs/{job_id}").json()["status"] == "running"
    page.goto("about:blank")
    until(job_id, lambda job: (job["progress"] or {"step": 0})["step"] > 2)
    page.go_back()
    expect(page.get_by_role("link", name="Talk to both models")).to_be_visible(timeout=TRAIN_MS)
    page.reload()
    expect(divergence).to_be_visible()

    page.get_by_role("link", name="Talk to both models").click()
    for side in "AB":
        pane = page.get_by_role("region", name=f"Model {side}")
        known = pane.get_by_text(re.compile("^(Ready|Not deployed)"))
        expect(known).to_be_visible()
        if known.inner_text().startswith("Not"):
            pane.get_by_role("button", name="Deploy").click()
        expect(pane.get_by_text(re.compile("^Ready"))).to_be_visible(timeout=DEPLOY_MS)
    page.get_by_label("Message to both models").fill("Name one colour.")
    page.keyboard.press("Enter")
    better = page.get_by_role("button", name="A is better")
    expect(better).to_be_enabled(timeout=120_000)
    for side in "AB":
        assert page.get_by_role("article", name=f"Answer of {side}").inner_text().strip()
    expect(page.get_by_text("Attested")).to_have_count(2)
    better.click()
    expect(page.get_by_text("Your vote is stored")).to_be_visible()
    with stack.http() as http:
        vote = http.get("/v1/votes").json()["data"][0]
    assert vote["choice"] == "a"
    assert vote["sides"][0]["model"] == tiny
    assert all(side["text"] for side in vote["sides"])
    from_vote_to_form(page, tiny, vote["sides"][1]["model"])


def test_nothing_is_said_of_deployments_before_they_are_known(
    page: Page, stack: Stack, tiny_folder: Path
):
    """A user who reads "Not deployed" would deploy a model that is already deployed."""
    model = register(stack, "tiny-not-deployed", tiny_folder)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/deployments*", hold)
    with page.expect_request("**/v1/deployments*"):
        page.goto(f"/playground?a={model}")
    pane = page.get_by_role("region", name="Model A")
    expect(pane.get_by_role("combobox")).to_have_value(model)
    assert pane.get_by_role("button", name="Deploy").count() == 0
    for route in held:
        route.continue_()
    expect(pane.get_by_text("Not deployed.")).to_be_visible()


def test_a_run_is_cancelled_from_its_page_and_a_reload_keeps_the_view(
    page: Page, stack: Stack, tiny: str, tmp_path: Path
):
    upload(page, EXAMPLES / "short-answers.jsonl")
    job_id = start(page, tiny, {"max_steps": 100_000, "n_samples": 0})
    page.get_by_role("link", name="config", exact=True).click()
    expect(page).to_have_url(re.compile("tab=config"))
    page.reload()
    expect(page.get_by_text("learning_rate").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()

    def cancelled() -> bool:
        with stack.http() as http:
            return http.get(f"/v1/fine_tuning/jobs/{job_id}").json()["status"] == "cancelled"

    wait_for(cancelled, 60, stack.logs)
    expect(page.get_by_text("cancelled").first).to_be_visible(timeout=10_000)


def test_a_link_signs_in_once(browser: Browser, stack: Stack):
    with stack.http() as http:
        link = http.post("/v1/session/links").json()["path"]
    for said in ("Home", "Sign in to Oddsmith"):
        context = browser.new_context(base_url=stack.running["url"], locale="en-GB")
        page = context.new_page()
        page.goto(link)
        expect(page.get_by_role("heading", name=said)).to_be_visible()
        context.close()


def test_a_session_that_ended_comes_back_to_the_same_view(page: Page, stack: Stack):
    page.goto("/files?limit=1")
    page.context.clear_cookies()
    page.goto("/deployments")
    expect(page.get_by_role("heading", name="Sign in to Oddsmith")).to_be_visible()
    page.get_by_label("API key").fill(stack.running["api_key"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/deployments$"))
    expect(page.get_by_role("heading", name="Deployments")).to_be_visible()


def test_no_room_has_a_barrier(page: Page, stack: Stack, tiny: str):
    """Run axe in both themes, at desktop and phone sizes."""
    with stack.http() as http:
        job_ids = [job["id"] for job in http.get("/v1/fine_tuning/jobs").json()["data"]]
        file_ids = [file["id"] for file in http.get("/v1/files").json()["data"]]
    rooms = ["/", "/jobs", "/jobs/new", "/files", "/playground", "/deployments", "/keys", "/system"]
    rooms += ["/nowhere"]
    rooms += [f"/evaluations{page}" for page in ("", "/new", "/leaderboard", "/judges")]
    rooms += [f"/files/{file_id}" for file_id in file_ids[:1]]
    rooms += [f"/jobs/compare?ids={','.join(job_ids[:2])}"] if len(job_ids) > 1 else []
    tabs = ("curves", "pairs", "samples", "evaluations", "checkpoints", "events", "config")
    rooms += [f"/jobs/{job_id}?tab={tab}" for job_id in job_ids[:1] for tab in tabs]
    found = []
    page.goto("/jobs")
    for theme in ("light", "dark"):
        page.evaluate(f"localStorage.setItem('theme', {json.dumps(theme)})")
        for room in rooms:
            page.goto(room)
            if "job" not in room:  # its stream stays open
                page.wait_for_load_state("networkidle", timeout=5_000)
            page.get_by_role("heading", level=1).wait_for()
            for width, height in ((1280, 900), (390, 844)):
                page.set_viewport_size({"width": width, "height": height})
                found += violations(page)
                over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found += [f"{room} is {over} px too wide at {width}"] if over > 0 else []
    assert found == []

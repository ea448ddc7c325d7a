"""What the page shows of a key that may only read, of curves, of runs in lists, and on a phone.

The API, its database and the browser are real; the test writes the numbers of the runs.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cli.stack.scratch import ScratchApi, scratch_api
from models.jobs import JobState
from services.access import api_keys
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.runs import metrics
from tests import records
from tests.conftest import forget_connections
from tests.e2e import chromium
from tests.e2e.pages import violations

pytestmark = [pytest.mark.stack, pytest.mark.slow]

OWNER = Caller(seed.ORG_ID, None, records.SCOPES)
# Pixels of a canvas that are neither transparent nor grey, as axes and grid are.
COLOURED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [r, g, b, a] = data.subarray(at, at + 4);
    if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 40) found += 1;
  }
  return found;
}"""


@pytest.fixture
def api(tmp_path: Path, settings_from: Callable[..., None]) -> Iterator[ScratchApi]:
    with scratch_api(tmp_path) as api:
        settings_from(database_url=api.database_url, var=tmp_path, storage_url="", redis_url="")
        forget_connections()
        yield api
        forget_connections()


@pytest.fixture
def page(browser: Browser, api: ScratchApi) -> Iterator[Page]:
    with chromium.signed_in(browser, api.url, api.key) as page:
        yield page


def run_of(name: str, *steps: int, held_out: int) -> str:
    """A running job with numbers of these steps, and one evaluation on held-out pairs."""
    with transaction() as session:
        job_id = records.job(session, OWNER, JobState.QUEUED, suffix=name).id
        claims.claim_next(session, "w")
    trained = [
        {"step": step, "t": 0.0, "split": "train", "values": {"loss": 2.0, "grad_norm": 1.5}}
        for step in steps
    ]
    values = {"accuracy": 0.5, "accuracy/low": 0.3, "accuracy/high": 0.7}
    measured = {"step": held_out, "t": 0.0, "split": "held_out", "values": values}
    with transaction() as session:
        metrics.write(session, job_id, 1, [*trained, measured])
    return job_id


def test_a_key_that_may_only_read_sees_why_it_can_not_write(browser: Browser, api: ScratchApi):
    with transaction() as session:
        _, key = api_keys.create(session, OWNER, "viewer", ["read"])
        records.file(session, OWNER, filename="pairs.jsonl")
    with chromium.signed_in(browser, api.url, key) as page:
        page.goto("/files")
        expect(page.get_by_role("note")).to_contain_text("signed in with “viewer”")
        expect(page.get_by_role("button", name="Delete pairs.jsonl")).to_be_disabled()
        page.goto("/jobs")
        expect(page.get_by_text("No runs yet")).to_be_visible()
        expect(page.get_by_role("link", name="New run")).to_have_count(0)
        page.goto("/jobs/new")
        expect(page.get_by_text("This needs a key with the scope “write”").last).to_be_visible()
        expect(page.get_by_role("button", name="Start the run")).to_have_count(0)


def test_one_step_is_drawn_and_no_value_stands_under_another_step(page: Page, api: ScratchApi):
    single = run_of("single", 1, held_out=1)
    page.goto(f"/jobs/{single}")
    norm = page.get_by_role("figure", name="Gradient norm")
    expect(norm.locator("dd").first).to_have_text("1")
    drawn = norm.locator("canvas").evaluate(COLOURED)
    assert drawn > 10, "the only point of the curve is not drawn"
    long = run_of("long", *range(1, 87), held_out=12)
    page.goto(f"/jobs/compare?ids={long},{single}")
    accuracy = page.get_by_role("figure", name="Held-out accuracy")
    expect(accuracy.locator("dd").nth(1)).to_have_text("50.0%")
    expect(accuracy.locator("dd").nth(2)).to_have_text("50.0% at step 1")
    expect(page.get_by_role("row", name="Measured at step")).to_contain_text("12")
    norm = page.get_by_role("figure", name="Gradient norm")
    norm.get_by_role("slider").press("Home")
    norm.get_by_role("slider").press("ArrowRight")
    expect(norm.locator("dd").nth(0)).to_have_text("2")
    expect(norm.locator("dd").nth(2)).to_have_text("\N{EN DASH}")


def test_a_phone_shows_a_whole_filter_and_says_that_runs_stand_beside(page: Page, api: ScratchApi):
    ids = [run_of(f"run-{at}", 1, 2, held_out=1) for at in range(2)]
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/jobs")
    field = page.get_by_label("Filter the runs")
    expect(field).to_be_visible()
    box = field.bounding_box()
    assert box is not None
    assert box["width"] > 280, "the filter field is cut"
    field.fill("lamda>=0.2")
    expect(page.get_by_role("alert")).to_contain_text("“lambda” exists")
    page.goto(f"/jobs/compare?ids={','.join(ids)}")
    expect(page.get_by_text("scroll the table sideways")).to_be_visible()


def test_a_run_is_renamed_tagged_noted_and_archived(page: Page, api: ScratchApi):
    runs = {name: run_of(name, 1, held_out=1) for name in ("first", "second")}
    page.goto(f"/jobs/{runs['second']}")
    page.get_by_role("button", name="Rename the run").click()
    page.get_by_label("Name of the run").fill("λ 0.2, again")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("λ 0.2, again")
    page.get_by_role("button", name="Add a tag").click()
    page.keyboard.type("Abl")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove the tag abl")).to_be_visible()
    page.get_by_role("button", name="Add notes").click()
    page.get_by_label("Notes").fill("<b>Plain</b>\ntext")
    page.get_by_role("button", name="Save the notes").click()
    expect(page.get_by_role("region", name="Notes")).to_contain_text("<b>Plain</b>")

    # The id is behind a mark, which a keyboard opens and closes.
    mark = page.get_by_role("button", name="Ids of λ 0.2, again")
    box = page.get_by_role("dialog", name="Ids of λ 0.2, again")
    expect(page.get_by_text(runs["second"])).to_be_hidden()
    mark.press("Enter")
    expect(box.get_by_text(runs["second"])).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(mark).to_be_focused()
    page.get_by_role("link", name="config", exact=True).click()
    expect(page.get_by_role("link", name="pairs.jsonl")).to_be_visible()

    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.get_by_text("Archived λ 0.2, again.")).to_be_visible()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("link", name="first")).to_be_visible()
    expect(page.get_by_role("link", name="λ 0.2, again")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="λ 0.2, again")).to_be_visible()
    page.get_by_role("checkbox", name="Compare first").check()
    page.get_by_role("region", name="Ticked runs").get_by_role("button", name="Archive").click()
    expect(page.get_by_role("link", name="first")).to_have_count(0)
    page.get_by_role("button", name="1 archived").click()
    expect(page.get_by_role("link", name="first")).to_be_visible()
    page.get_by_label("Filter the runs").fill("accuracy>=0.5 tag:abl")
    expect(page.get_by_role("link", name="λ 0.2, again")).to_be_visible()
    expect(page.get_by_role("link", name="first")).to_have_count(0)
    page.get_by_label("Filter the runs").fill("accuracy>=0.9 archived:all")
    expect(page.get_by_text("No run fits this filter.")).to_be_visible()


def test_compare_stays_in_view_while_the_list_scrolls(page: Page, api: ScratchApi):
    with transaction() as session:
        file = records.file(session, OWNER).id
        base = records.base_model(session, OWNER).id
        for at in range(60):
            records.job(session, OWNER, suffix=f"run-{at}", training_file=file, base_model=base)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/jobs?sort=name")
        for name in ("run-0", "run-1"):
            page.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
        ticked = page.get_by_role("region", name="Ticked runs")
        compare = ticked.get_by_role("button", name="Compare")
        for to in ("0", "document.body.scrollHeight / 2", "document.body.scrollHeight"):
            page.evaluate(f"scrollTo(0, {to})")
            expect(compare).to_be_in_viewport(ratio=1)
        assert page.evaluate("scrollY") > 1000
        assert violations(page) == []
        compare.click()
        expect(page).to_have_url(re.compile("/jobs/compare"))

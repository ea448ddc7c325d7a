"""What the page shows to a reader: of a key that may only read, of curves, and on a phone.

The API, its database and the browser are real; the test writes the numbers of the runs.
"""

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

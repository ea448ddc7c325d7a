"""The page with hostile answers, dying engines and lost connections.

The API, its database and the browser are real. The test sets the engine's answers, and writes the
run's metrics as a worker would.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from cli.stack.scratch import ScratchApi, scratch_api
from models.jobs import JobState
from services.access.callers import Caller
from services.files import seed
from services.jobs import claims
from services.platform.database import transaction
from services.runs import metrics
from tests import records
from tests.api.fake_engine import FakeEngine, deploy
from tests.api.servers import serving
from tests.conftest import forget_connections
from tests.e2e import chromium

pytestmark = [pytest.mark.stack, pytest.mark.slow]

ELSEWHERE = "https://elsewhere.example"
HOSTILE = f"""<script>window.pwned = 1; fetch("{ELSEWHERE}/script")</script>
<img src="{ELSEWHERE}/tag.png" onerror="window.pwned = 2"><svg onload="window.pwned = 3"></svg>
<iframe src="{ELSEWHERE}/frame"></iframe><style>@import "{ELSEWHERE}/style.css";</style>
<form action="{ELSEWHERE}"><input name="password" autofocus onfocus="window.pwned = 4"></form>
<link rel="stylesheet" href="{ELSEWHERE}/link.css"><meta http-equiv="refresh" content="0;url=/keys">

![a picture]({ELSEWHERE}/markdown.png) ![a reference][1] [run me](javascript:window.pwned=5)
[a page](data:text/html,<script>window.pwned=6</script>) [your bank]({ELSEWHERE}/login "hover")

[1]: {ELSEWHERE}/reference.png

Was \N{RIGHT-TO-LEFT OVERRIDE}detnarg\N{POP DIRECTIONAL FORMATTING}, a\N{ZERO WIDTH SPACE}b.
"""
LONG = f"A paragraph with **bold** words and [a link]({ELSEWHERE}/x).\n\n" * 16_000


@pytest.fixture
def api(tmp_path: Path, settings_from: Callable[..., None]) -> Iterator[ScratchApi]:
    with (
        scratch_api(tmp_path) as api,
        serving(FakeEngine({"hostile": HOSTILE, "long": LONG})) as engine,
    ):
        settings_from(database_url=api.database_url, var=tmp_path, storage_url="", redis_url="")
        forget_connections()
        deploy(seed.ORG_ID, engine, "hostile", "long", "dies", "steady")
        yield api
        forget_connections()


@pytest.fixture
def page(browser: Browser, api: ScratchApi) -> Iterator[Page]:
    with chromium.signed_in(browser, api.url, api.key) as page:
        yield page


def ask(page: Page, a: str, b: str) -> None:
    page.goto(f"/playground?a=acme/{a}&b=acme/{b}")
    expect(page.get_by_text("Ready.")).to_have_count(2)
    page.get_by_label("Message to both models").fill("Go on.")
    page.keyboard.press("Enter")


def test_a_hostile_answer_runs_nothing_and_loads_nothing(page: Page, api: ScratchApi):
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    ask(page, "hostile", "long")
    expect(page.get_by_role("button", name="A is better")).to_be_enabled(timeout=60_000)
    answer = page.get_by_role("article", name="Answer of A")
    said = answer.inner_text()
    for source in ("<script>window.pwned", "onerror=", "<iframe", "<meta", "javascript:window"):
        assert source in said, f"{source!r} is hidden from the reader"
    for hidden in ("U+202E", "U+202C", "U+200B"):
        assert hidden in said, f"{hidden} works instead of being shown"
    assert answer.locator("script, style, iframe, img, svg[onload], form, input, link").count() == 0
    link = answer.get_by_role("link")
    assert link.get_attribute("href") == f"{ELSEWHERE}/login"
    assert f"({ELSEWHERE}/login)" in link.inner_text()
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    # A megabyte is shown completely, as plain text.
    long = page.get_by_role("article", name="Answer of B")
    assert len(long.text_content() or "") > len(LONG)
    expect(long.get_by_text("Too long to be formatted")).to_be_visible()
    assert page.evaluate("window.pwned") is None
    assert [url for url in asked if not url.startswith(api.url)] == []
    assert page.url.startswith(f"{api.url}/playground")


def test_an_engine_that_dies_is_shown_and_may_be_asked_again(page: Page):
    ask(page, "steady", "dies")
    dead = page.get_by_role("article", name="Answer of B")
    retry = dead.get_by_role("button", name="Retry both")
    expect(retry).to_be_visible(timeout=2_000)
    assert "Yes" in dead.inner_text(), "what it said before is lost"
    assert "Yes: it does." in page.get_by_role("article", name="Answer of A").inner_text()
    retry.click()
    expect(retry).to_be_visible(timeout=10_000)


def train(job_id: str, *steps: int) -> None:
    values = {"loss": 2.0, "logps/chosen": -1.0, "logps/rejected": -2.0}
    lines = [{"step": step, "t": 0.0, "split": "train", "values": values} for step in steps]
    with transaction() as session:
        metrics.write(session, job_id, 1, lines)


def test_a_lost_connection_goes_on_where_it_broke_off(page: Page, api: ScratchApi):
    with transaction() as session:
        owner = Caller(seed.ORG_ID, None, records.SCOPES)
        job_id = records.job(session, owner, JobState.QUEUED).id
        claims.claim_next(session, "w")
    train(job_id, 1, 2, 3)
    page.goto(f"/jobs/{job_id}")
    divergence = page.get_by_role("figure", name="Divergence")
    step = divergence.locator("dd").first
    expect(step).to_have_text("3")
    train(job_id, 4, 5)
    expect(step).to_have_text("5")
    api.process.kill()
    api.process.wait()
    expect(page.get_by_text("The live connection broke off")).to_be_visible()
    train(job_id, 6, 7)
    api.start()
    train(job_id, 8)
    expect(step).to_have_text("8", timeout=30_000)
    expect(page.get_by_text("The live connection broke off")).to_be_hidden()
    divergence.get_by_text("Numbers").click()
    first_column = divergence.locator("tbody tr > :first-child").all_inner_texts()
    assert first_column == [str(step) for step in range(1, 9)]

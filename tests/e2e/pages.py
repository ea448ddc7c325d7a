"""Journeys through the page: a signed-in page, and what several of them do on it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import chromium
from tests.e2e.conftest import Stack

TRAIN_MS = 240_000
SETTINGS = {"max_steps": 8, "batch_size": 2, "eval_every": 4, "checkpoint_every": 4, "n_samples": 1}


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    with chromium.signed_in(browser, stack.running["url"], stack.running["api_key"]) as page:
        yield page


def upload(page: Page, path: Path) -> None:
    page.goto("/jobs")
    page.get_by_role("link", name="Files").click()
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("link", name=path.name).first.click()
    expect(page.get_by_role("heading", name="Report")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name="Train on this file").click()
    # The file's page stays until the code of the next one has loaded.
    expect(page.get_by_role("heading", name="New run")).to_be_visible()


def start(page: Page, base: str, settings: dict[str, int]) -> str:
    """Fill in the form and start; return the job's id."""
    page.get_by_label("Base model").select_option(base)
    for name, value in settings.items():
        field = page.get_by_label(name, exact=True)
        field.evaluate("node => { const d = node.closest('details'); if (d) d.open = true }")
        field.fill(str(value))
    page.get_by_role("button", name="Start the run").click()
    expect(page).to_have_url(re.compile("/jobs/ftjob-"), timeout=30_000)
    return page.url.rpartition("/")[2].partition("?")[0]


def violations(page: Page) -> list[str]:
    """Violations of WCAG A and AA that axe finds on the rendered page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(chromium.axe_source())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})"
    )
    return [f"{page.url}: {item['id']}: {item['nodes'][0]['html']}" for item in found["violations"]]

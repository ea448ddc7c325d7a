"""The API reference at /docs of a real stack, in a real Chromium."""

from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import chromium
from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_shows_every_operation_and_asks_no_other_host(
    browser: Browser, stack: Stack, theme: Literal["light", "dark"]
):
    url = stack.running["url"]
    document = httpx.get(f"{url}/openapi.json").json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    context = browser.new_context(base_url=url, locale="en-GB", color_scheme=theme)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # A violation of the content security policy is logged as a console error.
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    answer = page.goto("/docs")
    assert answer
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    summaries = page.locator(".opblock-summary-control")
    expect(summaries).to_have_count(len(operations))
    shown = [" ".join(text.split()[:2]) for text in summaries.all_inner_texts()]
    assert sorted(shown) == sorted(operations)

    summaries.nth(shown.index("POST /v1/fine_tuning/jobs")).click()
    expect(page.get_by_text("training_file").first).to_be_visible()
    expect(page.get_by_role("row", name='x-scope "write"')).to_be_visible()
    for name in ("Authorize", "Try it out", "Execute"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    # Check the theme: a page without its styles could pass the contrast check.
    is_dark = "getComputedStyle(document.documentElement).colorScheme == 'dark'"
    assert page.evaluate(is_dark) is (theme == "dark")
    page.evaluate(chromium.axe_source())
    found = page.evaluate("axe.run({runOnly: ['color-contrast']})")
    wrong += [node["html"] for each in found["violations"] for node in each["nodes"]]
    assert wrong == []
    assert [each for each in asked if not each.startswith((f"{url}/", "data:"))] == []
    context.close()

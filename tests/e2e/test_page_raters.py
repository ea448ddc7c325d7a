"""A rater's link: an owner makes it, a person votes by it on a phone, and the owner revokes it.

The API, its database and the browser are real; the evaluation's rows are written by the test.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Response, ViewportSize, expect

from cli.stack.scratch import ScratchApi
from tests.api import test_cards
from tests.e2e import chromium
from tests.e2e.pages import violations
from tests.e2e.test_page_cards import evaluation, page

__all__ = ["evaluation", "page"]

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PHONE = ViewportSize(width=390, height=844)
WIDE = ViewportSize(width=1280, height=900)
LONG = " Its second sentence is here, so that an answer has more than a line on a phone." * 3


@pytest.fixture
def deck(evaluation: tuple[ScratchApi, str]) -> str:
    """An evaluation of three cards."""
    return test_cards.evaluated([([f"Warm {n}.{LONG}"], [f"Cold {n}.{LONG}"]) for n in range(3)])


@contextmanager
def phone(browser: Browser, url: str) -> Iterator[Page]:
    """A browser that knows nothing yet, with a small screen that is touched."""
    context = browser.new_context(
        base_url=url, locale="en-GB", viewport=PHONE, has_touch=True, is_mobile=True
    )
    wrong: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if chromium.is_wrong(said) else None)
    yield page
    context.close()
    assert wrong == []


def look(page: Page, name: str) -> list[str]:
    """What is wrong with a page in both themes on both screens; PICTURES names a folder."""
    found: list[str] = []
    before = page.viewport_size or WIDE
    for theme in ("dark", "light"):
        page.get_by_role("button", name=f"Use the {theme} theme").click()
        for size in (WIDE, PHONE):
            page.set_viewport_size(size)
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/{name}-{theme}-{size['width']}.png", full_page=True)
            found += violations(page)
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"{over} px too wide at {size['width']}"] if over > 0 else []
    page.set_viewport_size(before)
    return found


def invite(page: Page, deck: str, name: str) -> str:
    """Make a link for a rater on the page to vote blind, and return it."""
    page.goto(f"/evaluations/{deck}/vote")
    page.get_by_role("button", name="Invite a rater").click()
    page.get_by_label("Name of the rater").fill(name)
    page.get_by_role("button", name="Make a link").click()
    made = page.get_by_role("region", name=f"The link for {name}")
    expect(made).to_be_focused()
    return made.locator("code").inner_text()


def test_a_rater_votes_by_a_link_until_it_is_revoked(
    page: Page, browser: Browser, evaluation: tuple[ScratchApi, str], deck: str
) -> None:
    url = evaluation[0].url
    link = invite(page, deck, "Ada")
    assert re.fullmatch(f"{re.escape(url)}/vote#key=sk-odd-[A-Za-z0-9_-]+", link)
    assert look(page, "invite") == []
    with phone(browser, url) as rater:
        answers: list[Response] = []
        # Playwright marks the listener, which a method of a list does not allow.
        rater.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108
        rater.goto(link)
        expect(rater.get_by_role("heading", name="Which answer is better?")).to_be_visible()
        assert rater.url == f"{url}/vote", "the key has left the address"
        expect(rater.get_by_role("navigation")).to_have_count(0)
        expect(rater.get_by_role("link")).to_have_count(0)
        rater.get_by_role("button", name="A is better").tap()
        expect(rater.get_by_text("1 of at most 3 cards have your vote")).to_be_visible()
        assert look(rater, "card") == []
        rater.keyboard.press("2")
        expect(rater.get_by_text("2 of at most 3")).to_be_visible()
        rater.keyboard.press("u")
        expect(rater.get_by_text("1 of at most 3")).to_be_visible()
        rater.keyboard.press("2")
        expect(rater.get_by_text("2 of at most 3")).to_be_visible()
        told = rater.content() + "".join(map(text_of, answers))
        assert "Warm" in told
        assert not [name for name in (test_cards.TUNED, test_cards.BASE) if name in told]
        rater.goto("/jobs")
        expect(rater).to_have_url(f"{url}/vote")
        expect(rater.get_by_text("2 of at most 3")).to_be_visible()
        assert rater.request.get("/v1/fine_tuning/jobs").status == 403

        page.goto(f"/evaluations/{deck}/vote")
        page.get_by_role("button", name="Invite a rater").click()
        row = page.get_by_role("row").filter(has_text="Ada")
        expect(row).to_contain_text("2")
        assert look(page, "raters") == []
        row.get_by_role("button", name="Revoke the link of Ada").click()
        page.get_by_role("button", name="Revoke the link", exact=True).click()
        expect(row).to_have_count(0)
        rater.keyboard.press("1")
        expect(rater.get_by_role("alert")).to_contain_text("This link no longer works")
        expect(rater.get_by_role("article")).to_have_count(0)
        assert look(rater, "revoked") == []
        rater.goto("about:blank")
        rater.goto(link)
        expect(rater.get_by_role("alert")).to_contain_text("This link no longer works")
    page.goto("/votes")
    expect(page.get_by_text(re.compile("by Ada$"))).to_have_count(2)


def text_of(answer: Response) -> str:
    """What an answer of the API says."""
    return answer.text() if "/v1/" in answer.url else ""


def test_the_end_of_the_cards_and_a_browser_that_is_signed_in(
    page: Page, browser: Browser, evaluation: tuple[ScratchApi, str]
) -> None:
    url = evaluation[0].url
    deck = test_cards.evaluated([(["Warm."], ["Cold."])])
    link = invite(page, deck, "Grace")
    with phone(browser, url) as rater:
        rater.goto(link)
        rater.get_by_role("button", name="Tie").tap()
        expect(rater.get_by_role("heading", name="Thank you")).to_be_visible()
        assert look(rater, "end") == []
        rater.get_by_role("button", name="Show the models of the last card").tap()
        expect(rater.get_by_text("you called it a tie")).to_contain_text(test_cards.TUNED)
        rater.get_by_role("button", name="Sign out").tap()
        expect(rater.get_by_text("You are signed out")).to_be_visible()
    # The owner tries the link: the browser's own session is kept until it is confirmed.
    page.goto(link)
    expect(page.get_by_role("heading", name="This browser is signed in")).to_be_visible()
    assert look(page, "other") == []
    page.get_by_role("link", name="Stay signed in").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.goto(link)
    page.get_by_role("button", name="Sign out and vote as a rater").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()

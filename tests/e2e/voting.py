"""Votes on the page: by keyboard in the playground, ranked, and made into a file to train on."""

import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.e2e.pages import violations

ANSWER_MS = 120_000
CHECK_MS = 60_000
EDITED = "Blue, as the sky at noon."


def vote_by_keyboard(page: Page) -> None:
    """Ask, vote for B and edit its answer, without a pointer."""
    expect(page.get_by_text(re.compile("^Ready"))).to_have_count(2)
    page.get_by_label("Message to both models").fill("Name one colour.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="B is better")).to_be_enabled(timeout=ANSWER_MS)
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.get_by_text("Your vote is stored")).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_label("Answer B as it should be")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type(EDITED)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("B is edited")).to_be_visible()
    page.get_by_label("Reason").select_option("clear")
    expect(page.get_by_label("Reason")).to_have_value("clear")


def accessible_in_both_themes(page: Page) -> None:
    for name in ("dark", "light"):
        page.get_by_role("button", name=f"Use the {name} theme").click()
        assert violations(page) == []


def from_vote_to_form(page: Page, first: str, other: str) -> None:
    """Vote by keyboard, read the ranking, make a file of the vote, and open the form with it.

    There is another vote on the two models, for the first one.
    """
    page.goto(f"/playground?a={first}&b={other}")
    vote_by_keyboard(page)
    accessible_in_both_themes(page)
    vote, _ = page.request.get("/v1/votes", params={"model": other}).json()["data"]
    assert (vote["choice"], vote["reason"]) == ("b", "clear")
    assert vote["edit"] == {"side": 1, "text": EDITED}

    page.get_by_role("link", name="Votes", exact=True).click()
    page.get_by_label("Model", exact=True).select_option(other)
    ranking = page.get_by_role("table", name="Ranking")
    expect(ranking).to_contain_text(other)
    expect(ranking.get_by_text("too early: 2 of 20 votes")).to_have_count(2)
    expect(page.get_by_role("region", name="Edit of answer B")).to_contain_text("sky at noon")
    page.get_by_label("Choice", exact=True).select_option("tie")
    expect(page.get_by_text("No vote fits this filter.")).to_be_visible()
    page.get_by_label("Choice", exact=True).select_option("b")

    page.get_by_role("button", name="Make a file").click()
    expect(page.get_by_text("1 vote becomes 1 pair, with an edited answer.")).to_be_visible()
    accessible_in_both_themes(page)
    page.get_by_label("Name of the file").fill("colours")
    page.get_by_role("button", name="Make the file").click()
    train = page.get_by_role("link", name="Train on this file")
    expect(train).to_be_visible(timeout=CHECK_MS)
    page.get_by_role("link", name="colours.jsonl").click()
    expect(page.get_by_role("heading", name="Made from 1 vote")).to_be_visible()
    expect(page.get_by_text(EDITED).first).to_be_visible()
    page.get_by_role("link", name="1 vote", exact=True).click()
    expect(page).to_have_url(re.compile(f"/votes.*model={quote(other, safe='')}"))
    expect(page.get_by_role("heading", name="Ranking")).to_be_visible()

    page.goto("/files")
    page.get_by_role("link", name="colours.jsonl").click()
    page.get_by_role("link", name="Train on this file").click()
    expect(page).to_have_url(re.compile(r"/jobs/new\?file=file-"))
    chosen = page.get_by_label("Training file").locator("option:checked")
    expect(chosen).to_contain_text("colours.jsonl")

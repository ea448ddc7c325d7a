"""Twenty blind votes by keyboard on the answers of an evaluation.

The API, its database and the browser are real; the evaluation's rows are written by the test.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cli.stack.scratch import ScratchApi, scratch_api
from models import Comparison
from services.files import seed
from services.platform.database import reading
from services.votes import pairs
from services.votes.votes import Filter
from tests.api import test_cards
from tests.conftest import forget_connections
from tests.e2e import chromium
from tests.e2e.test_page import violations

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CARDS = 20
HOSTILE = "<img src=x onerror='window.pwned = 1'><script>window.pwned = 2</script> \u202e"
TUNED, BASE = test_cards.TUNED, test_cards.BASE


@pytest.fixture
def evaluation(
    tmp_path: Path, settings_from: Callable[..., None]
) -> Iterator[tuple[ScratchApi, str]]:
    with scratch_api(tmp_path) as api:
        settings_from(database_url=api.database_url, var=tmp_path, storage_url="", redis_url="")
        forget_connections()
        answers = [([f"warm {n} {HOSTILE}"], [f"cold {n} {HOSTILE}"]) for n in range(CARDS)]
        yield api, test_cards.evaluated(answers)
        forget_connections()


@pytest.fixture
def page(browser: Browser, evaluation: tuple[ScratchApi, str]) -> Iterator[Page]:
    api, _ = evaluation
    with chromium.signed_in(browser, api.url, api.key) as page:
        yield page


def warm_side(page: Page) -> int:
    """Which answer is the tuned model's: 0 on the left, 1 on the right."""
    return 0 if "warm" in page.get_by_role("article", name="Answer A").inner_text() else 1


def test_twenty_blind_votes_by_keyboard(page: Page, evaluation: tuple[ScratchApi, str]) -> None:
    evaluation_id = evaluation[1]
    page.goto(f"/evaluations/{evaluation_id}")
    page.get_by_role("link", name="Vote blind").click()
    for voted in range(CARDS):
        expect(page.get_by_text(f"{voted} of at most {CARDS} cards have your vote")).to_be_visible()
        if voted < 2:
            expect(page.locator("main")).not_to_contain_text(TUNED)
            expect(page.locator("main")).not_to_contain_text(BASE)
        warm = warm_side(page)
        if voted == 3:  # the ideal answer
            page.keyboard.press("e")
            page.get_by_label("The better answer").select_option(str(warm))
            page.get_by_label("As it should be").fill("Warm, in short.")
            page.keyboard.press("Control+Enter")
        elif voted == 5:  # a slip, taken back
            page.keyboard.press("4")
            expect(page.get_by_text(f"{voted + 1} of at most")).to_be_visible()
            page.keyboard.press("u")
            expect(page.get_by_text(f"{voted} of at most")).to_be_visible()
            page.keyboard.press("12"[warm_side(page)])
        else:
            page.keyboard.press("3" if voted % 10 == 9 else "12"[warm])
    expect(page.get_by_text("You have voted on all cards")).to_be_visible()
    page.get_by_role("button", name="Reveal the last models").click()
    expect(page.get_by_text("The last vote", exact=True)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="you called it a tie")).to_contain_text(TUNED)
    assert page.evaluate("window.pwned") is None
    with reading() as session:
        found = pairs.find(session, test_cards.CALLER, Filter())
        votes = session.query(Comparison).filter_by(org_id=seed.ORG_ID).all()
    assert (found.counts.votes, found.counts.pairs, found.counts.edited) == (CARDS, CARDS - 2, 1)
    assert found.counts.ties == 2
    assert {row["chosen_model"] for row in found.rows} == {TUNED}
    assert "Warm, in short." in {row["chosen"][0]["content"] for row in found.rows}
    assert {vote.sides[0]["model"] for vote in votes} == {TUNED, BASE}, "the sides are shuffled"
    assert all(vote.revealed_at is not None for vote in votes)


def test_the_card_is_readable_in_both_themes_and_on_a_phone(
    page: Page, evaluation: tuple[ScratchApi, str]
) -> None:
    found: list[str] = []
    page.goto(f"/evaluations/{evaluation[1]}/vote")
    for theme in ("light", "dark"):
        page.evaluate(f"localStorage.setItem('theme', {json.dumps(theme)})")
        page.goto(f"/evaluations/{evaluation[1]}/vote")
        expect(page.get_by_role("article", name="Answer B")).to_be_visible()
        page.keyboard.press("e")
        expect(page.get_by_label("As it should be")).to_be_visible()
        for width, height in ((1280, 900), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/card-{theme}-{width}.png", full_page=True)
            found += violations(page)
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"{over} px too wide at {width}"] if over > 0 else []
    assert found == []

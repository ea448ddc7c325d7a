"""The whole loop in a real Chromium against the real stack: answers, blind votes, pairs, the next
run from the tuned model, and its answers against its parent.
"""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import EXAMPLES
from tests.e2e.pages import page, violations
from tests.e2e.test_evaluations import train
from tests.e2e.walk import VOTES, Walk

__all__ = ["page"]

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1200)]

# Its answers don't end: a vote on one that was cut off becomes a pair only with an edit.
EDITS = 12
# The tiny model writes much that is empty or alike, which makes no card.
PROMPTS, TEMPERATURE = 100, "1"


def test_from_votes_to_the_next_run_and_its_votes_against_its_parent(
    page: Page,
    stack,
    tiny: str,
    upload,
    until,
) -> None:
    parent = train(stack, until, tiny, upload(EXAMPLES / "short-answers.jsonl"), "orpo")
    walk = Walk(page)
    page.goto(f"/jobs/{parent['id']}")
    walk.ask(prompts=PROMPTS, temperature=TEMPERATURE)
    walk.vote(edits=EDITS)
    walk.make_file()
    assert violations(page) == []
    run_id = walk.train_further()

    trained = until(run_id, lambda job: job["status"] == "succeeded")
    with stack.http() as http:
        base = http.get(f"/v1/models/{trained['model']}").json()
        assert base["parent"] == parent["fine_tuned_model"]
        (made,) = (
            file
            for file in http.get("/v1/files", params={"limit": 100}).json()["data"]
            if file["id"] == trained["training_file"]
        )
    counts = made["made_from"]["counts"]
    assert counts["votes"] == VOTES
    # Of the edited ones, all but those on prompts that the parent holds out.
    assert counts["edited"] <= EDITS <= counts["edited"] + counts["held_out"]
    assert trained["hyperparameters"] | {"learning_rate": 0.001} == trained["hyperparameters"]

    # Against its parent, on the page of the new run: nothing of the first deck is asked again.
    page.goto(
        f"/evaluations/new?model={trained['fine_tuned_model']}&suite=custom"
        f"&baseline={parent['fine_tuned_model']}&data={parent['training_file']}"
    )
    walk.start(prompts=PROMPTS, temperature=TEMPERATURE)
    expect(page.get_by_text("Nobody has voted on these answers yet")).to_be_visible()
    page.get_by_role("link", name="Vote blind").click()
    expect(page.get_by_role("article", name="Answer A")).to_be_visible()

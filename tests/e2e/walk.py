"""A person's way round the loop on the page: ask two models, vote blind, make pairs, train further.

Counts what the person does: each click, each key. `bench/first_loop.py` walks it on the demo.
"""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

ANSWERS_MS = 420_000
CHECK_MS = 240_000
CODE_MS = 30_000
VOTES = 20


@dataclass
class Walk:
    """A page and how many clicks and keys it has had."""

    page: Page
    steps: int = 0

    def click(self, target: Locator) -> None:
        target.click(timeout=CODE_MS)
        self.steps += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.steps += 1

    def choose(self, field: str, option: str) -> None:
        """Choose in a list: one click opens it, one takes the option."""
        self.page.get_by_label(field, exact=True).select_option(label=option)
        self.steps += 2

    def type(self, field: str, text: str) -> None:
        """Click a field and type into it."""
        target = self.page.get_by_label(field, exact=True)
        target.click()
        target.press_sequentially(text)
        self.steps += 1 + len(text)

    # --- the parts of the way ---------------------------------------------------------------------

    def ask(self, *, prompts: int, temperature: str | None = None) -> None:
        """From the page of a run: ask its model and its base the prompts of its file."""
        page = self.page
        self.click(page.get_by_role("link", name="evaluations", exact=True))
        self.click(page.get_by_role("link", name="Vote blind on new answers"))
        self.start(prompts=prompts, temperature=temperature)

    def start(self, *, prompts: int, temperature: str | None = None) -> None:
        """From the form of an evaluation to its answers."""
        page = self.page
        self.click(page.get_by_text("A part of the prompts"))
        self.type("How many", str(prompts))
        if temperature is not None:
            self.click(page.get_by_text("Sampling", exact=False).first)
            self.type("temperature", temperature)
            self.type("max_tokens", "24")
        self.click(page.get_by_label("Deploy what is not deployed"))
        self.click(page.get_by_role("button", name="Start the evaluation"))
        expect(page.get_by_role("link", name="Vote blind")).to_be_visible(timeout=ANSWERS_MS)

    def vote(self, votes: int = VOTES, edits: int = 0) -> None:
        """Vote blind, by keyboard: the shorter answer is the better one, as in the example pairs.
        The better answer of the first `edits` cards is edited.
        """
        page = self.page
        self.click(page.get_by_role("link", name="Vote blind"))
        for voted in range(votes):
            said = re.compile(f"^{voted} of at most")
            expect(page.get_by_text(said)).to_be_visible(timeout=CODE_MS)
            answer = page.get_by_role("article", name=re.compile("^Answer [AB]$"))
            expect(answer, page.locator("main").inner_text()).to_have_count(2)
            sides = answer.all_inner_texts()
            better = 0 if len(sides[0]) <= len(sides[1]) else 1
            if voted < edits:
                self.edit(better, f"In short: {voted}.")
            else:
                self.press("12"[better])
        expect(page.get_by_text(re.compile(f"^{votes} of at most"))).to_be_visible()

    def edit(self, better: int, text: str) -> None:
        """Vote for an answer as it should have been."""
        self.press("e")
        self.choose("The better answer", f"Answer {'AB'[better]}")
        field = self.page.get_by_label("As it should be")
        field.fill(text)
        self.steps += 1 + len(text)
        self.press("Control+Enter")

    def make_file(self) -> None:
        """From the votes to a file of pairs."""
        page = self.page
        self.click(page.get_by_role("link", name="The evaluation", exact=True))
        self.click(page.get_by_role("link", name=re.compile("votes on these answers")))
        self.click(page.get_by_role("button", name="Make a file"))
        expect(page.get_by_text(re.compile("^[0-9]+ votes? become")).first).to_be_visible(
            timeout=CODE_MS
        )
        make = page.get_by_role("button", name="Make the file")
        expect(make, page.locator("main").inner_text()).to_be_visible()
        self.click(make)

    def train_further(self) -> str:
        """From the file to a run that starts from the tuned model; returns its id."""
        page = self.page
        further = page.get_by_role("link", name="Train the tuned model further on it")
        expect(further).to_be_visible(timeout=CHECK_MS)
        self.click(further)
        self.click(page.get_by_role("button", name="Make it a base model"))
        chosen = page.get_by_label("Base model", exact=True).locator("option:checked")
        expect(chosen).to_contain_text("made from", timeout=CHECK_MS)
        self.click(page.get_by_role("button", name="Start the run"))
        expect(page).to_have_url(re.compile("/jobs/ftjob-"), timeout=CODE_MS)
        return page.url.rpartition("/")[2].partition("?")[0]

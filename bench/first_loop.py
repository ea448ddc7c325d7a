"""How long a first-time user takes round the loop, in minutes, clicks and keys: `make bench-loop`.

Starts from the link of a stack on which `make demo` has run, in a real Chromium: opens the run,
asks both models, votes blind on twenty cards, makes a file of the votes, and starts the next run
from the tuned model. The way is that of `tests/e2e/walk.py`. Exits with 1 if it takes more than ten
minutes or 60 clicks and keys. What a person spends on reading is not in it.
"""

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, expect

from cli.client.http import connect
from cli.commands.open import link
from tests.e2e import chromium
from tests.e2e.walk import Walk

ROOT = Path(__file__).resolve().parents[1]
MINUTES_AT_MOST, STEPS_AT_MOST = 10.0, 60
# More than twenty, since equal answers make no card.
PROMPTS = 30


@dataclass(frozen=True)
class Part:
    """A part of the way: what it was, its seconds, and how many clicks and keys it took."""

    name: str
    seconds: float
    steps: int


def walk(page: Page) -> list[Part]:
    """Walk from the page that the link opens to the next run."""
    person = Walk(page)
    parts: list[Part] = []
    before = [time.monotonic(), 0]

    def done(name: str) -> None:
        now = [time.monotonic(), person.steps]
        parts.append(Part(name, round(now[0] - before[0], 1), int(now[1] - before[1])))
        before[:] = now
        print(parts[-1], flush=True)

    person.click(page.get_by_role("link", name="Runs", exact=True))
    person.click(page.get_by_role("table").get_by_role("link").first)
    expect(page.get_by_role("link", name="evaluations", exact=True)).to_be_visible()
    done("open the run")
    person.ask(prompts=PROMPTS)
    done("ask both models")
    person.vote()
    done("vote blind")
    person.make_file()
    done("make a file")
    person.train_further()
    done("start the next run")
    return parts


def main() -> int:
    address = link(connect())
    with chromium.launched() as browser:
        context = browser.new_context(
            locale="en-GB", base_url=re.sub(r"(//[^/]+).*", r"\1", address)
        )
        page = context.new_page()
        page.goto(address)
        parts = walk(page)
    minutes = sum(part.seconds for part in parts) / 60
    steps = sum(part.steps for part in parts)
    print(f"{minutes:.1f} minutes, {steps} clicks and keys")
    path = ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-first-loop.json"
    found = {"minutes": round(minutes, 2), "steps": steps, "parts": [asdict(p) for p in parts]}
    path.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if minutes <= MINUTES_AT_MOST and steps <= STEPS_AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())

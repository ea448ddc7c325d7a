"""Take the pictures of `docs/tour.md`: `python -m docs.tour`, while a stack runs.

Wants a finished job whose model is deployed beside its base, as `make demo` leaves one. Every page
is taken in both themes, as wide as a desk and as a phone, into `var/tour`; what the tour shows is
copied to `docs/tour`, with fewer colours. Looks at a real run; changes nothing in it but asking
both models one held-out question.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from cli.stack.folder import Folder, Running
from tests.e2e import chromium

HERE = Path(__file__).parent / "tour"
SIZES = {"desk": (1280, 860), "phone": (390, 844)}
# What stands in the tour: everything in light at a desk, and these.
SHOWN_TOO = {
    "curves-dark-desk",
    "playground-dark-desk",
    "curves-light-phone",
    "playground-light-phone",
}
COLOURS = 128


@dataclass(frozen=True)
class Run:
    """What the pictures are of."""

    job: dict[str, Any]
    jobs: list[str]
    file: str
    line: int


def find(http: httpx.Client) -> Run:
    """The newest job whose model can be asked, and the held-out pair that it changed most."""
    jobs = http.get("/v1/fine_tuning/jobs", params={"limit": 100}).json()["data"]
    models = http.get("/v1/models", params={"limit": 100}).json()["data"]
    deployed = {model["id"] for model in models if model["deployed"]}
    ended = [job for job in jobs if job["status"] == "succeeded"]
    job = next((job for job in ended if job["fine_tuned_model"] in deployed), None)
    if job is None:
        sys.exit("No job's model is deployed on this stack: run `make demo` first.")
    pairs = http.get(f"/v1/fine_tuning/jobs/{job['id']}/pairs").json()["data"]
    moved = max(pairs, key=lambda p: p["after"]["log_odds_ratio"] - p["before"]["log_odds_ratio"])
    return Run(job, [each["id"] for each in ended[:3]], job["training_file"], moved["line"])


def rooms(run: Run) -> dict[str, str]:
    """Every page by the name of its picture."""
    job = f"/jobs/{run.job['id']}"
    tabs = ("curves", "pairs", "samples", "checkpoints", "events", "config")
    a, b = run.job["model"], run.job["fine_tuned_model"]
    return {
        "home": "/",
        "runs": "/jobs",
        **{tab: f"{job}?tab={tab}" for tab in tabs},
        "compare": f"/jobs/compare?ids={','.join(run.jobs)}",
        "new-job": f"/jobs/new?file={run.file}",
        "files": "/files",
        "file": f"/files/{run.file}",
        "playground": f"/playground?a={a}&b={b}&job={run.job['id']}&line={run.line}",
        "deployments": "/deployments",
        "keys": "/keys",
        "system": "/system",
    }


def look(page: Page, name: str, path: str) -> None:
    """Open a page and wait until it is drawn."""
    page.goto(path)
    page.get_by_role("heading", level=1).wait_for()
    if name == "playground":
        ask(page)
    loading = page.get_by_role("status").filter(has_text=re.compile("^Loading"))
    expect(loading).to_have_count(0)
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(600)


def ask(page: Page) -> None:
    """Ask both the held-out question, and wait for the answers."""
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="A is better")).to_be_enabled(timeout=120_000)


def take(browser: Browser, stack: Running, run: Run, folder: Path) -> list[Path]:
    """Take every page in both themes and sizes."""
    taken = []
    for size, (width, height) in SIZES.items():
        context = chromium.context(browser, stack.url, stack.api_key)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.goto("/jobs")
        for theme in ("light", "dark"):
            page.evaluate(f"localStorage.setItem('theme', {json.dumps(theme)})")
            for name, path in rooms(run).items():
                look(page, name, path)
                taken.append(folder / f"{name}-{theme}-{size}.png")
                page.screenshot(path=taken[-1])
                print(taken[-1].name, flush=True)
        context.close()
    return taken


def main() -> None:
    folder = Folder()
    stack = folder.running()
    if stack is None:
        sys.exit("No stack runs here: `make demo` starts one and leaves a job to look at.")
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    http = httpx.Client(base_url=stack.url, headers=headers, trust_env=False)
    out = folder.path / "tour"
    out.mkdir(exist_ok=True)
    HERE.mkdir(exist_ok=True)
    with chromium.launched() as browser:
        taken = take(browser, stack, find(http), out)
    for path in taken:
        if path.stem.endswith("-light-desk") or path.stem in SHOWN_TOO:
            Image.open(path).quantize(COLOURS).save(HERE / path.name, optimize=True)


if __name__ == "__main__":
    main()

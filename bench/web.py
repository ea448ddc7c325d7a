"""How fast a run of a million steps is drawn and zoomed: `make bench-web`.

Fills a scratch Postgres with all series that a training step writes, opens the run's page in a
real Chromium with nothing cached, and drags over the first chart at several zoom levels. Exits with
1 if a target is missed: the first chart within 1 s of the navigation's start; the zoomed chart
within 100 ms of the mouse release, drawn with the points of the zoomed range.
"""

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from bench.series import HELD_OUT, TRAIN
from cli.stack.scratch import ScratchApi, scratch_api
from cli.view.progress import bar
from models import ApiKey
from models.jobs import JobState
from orpo.contract.rundir import Split
from services.access import api_keys
from services.access.callers import Caller
from services.runs import series
from tests import records
from tests.e2e import chromium

FIRST_CHART_MS_AT_MOST = 1000
ZOOM_MS_AT_MOST = 100
CHUNK = 20_000
HELD_OUT_EVERY = 10_000
# Values like a real curve: a slow wave, noise, and rare spikes.
ROWS = """
    INSERT INTO metrics (job_id, split, name, step, generation, value, t)
    SELECT :job, :split, name, step, 1,
           sin(step / 90000.0 + place) + random() / 4 + CASE WHEN random() < 1e-5 THEN 5 ELSE 0 END,
           now()
    FROM generate_series(CAST(:first AS bigint), :last, :stride) AS step,
         unnest(CAST(:names AS text[])) WITH ORDINALITY AS named (name, place)
"""
# Records when something was drawn on a canvas, and when the mouse was released.
WATCH = """
window.drawn = []; window.released = [];
const stroke = CanvasRenderingContext2D.prototype.stroke;
CanvasRenderingContext2D.prototype.stroke = function (...what) {
  window.drawn.push(performance.now());
  return stroke.apply(this, what);
};
addEventListener("mouseup", () => window.released.push(performance.now()), true);
"""


def fill(session: Session, owner: Caller, steps: int) -> str:
    """Write a run that ended after `steps` steps; return its id."""
    job = records.job(session, owner, state=JobState.SUCCEEDED)
    session.flush()
    with bar(f"Writing {len(TRAIN)} series of {steps:,} steps") as show:
        for split, names, stride in (
            (Split.TRAIN, TRAIN, 1),
            (Split.HELD_OUT, HELD_OUT, HELD_OUT_EVERY),
        ):
            edges = [*range(1, steps, CHUNK), steps + 1] if stride == 1 else [0, steps + 1]
            for first, end in pairwise(edges):
                values = {"job": job.id, "split": split, "names": list(names)}
                values |= {"first": first, "last": end - 1, "stride": stride}
                session.execute(text(ROWS), values)
                series.roll_up(session, job.id, split, first, end - 1)
                show(end - 1, steps)
    session.commit()
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(
        text("VACUUM ANALYZE metrics, metric_buckets")
    )
    return job.id


def first_chart_ms(browser: Browser, api: ScratchApi, job_id: str) -> tuple[float, Page]:
    """Time from the start of the navigation to the first line on a chart, with an empty cache."""
    page = chromium.context(browser, api.url, api.key).new_page()
    page.add_init_script(WATCH)
    page.goto(f"/jobs/{job_id}")
    until(page, "window.drawn.length > 0")
    return float(page.evaluate("window.drawn[0]")), page


def zoom_ms(page: Page) -> tuple[float, float]:
    """Drag over the middle third; times from the mouse release to the first and the last stroke."""
    settle(page)
    over = page.get_by_role("figure", name="Divergence").locator(".u-over")
    box = over.bounding_box()
    assert box
    page.evaluate("window.drawn = []; window.released = []")
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 * box["width"] / 3, box["y"] + 60, steps=4)
    page.mouse.up()
    settle(page)
    drawn, released = page.evaluate("[window.drawn, window.released[0]]")
    after = [moment - released for moment in drawn if moment > released]
    return after[0], after[-1]


def settle(page: Page) -> None:
    """Wait until nothing has been drawn for half a second."""
    until(page, "performance.now() - window.drawn.at(-1) > 500")


def until(page: Page, condition: str) -> None:
    """Poll a condition from outside: the page's own CSP forbids `eval` inside."""
    for _ in range(1200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise SystemExit(f"Not seen within a minute: {condition}")


def measure(api: ScratchApi, job_id: str, rounds: int) -> dict[str, Any]:
    first, seen, sharp = [], [], []
    with chromium.launched() as browser:
        for _ in range(rounds):
            took, page = first_chart_ms(browser, api, job_id)
            first.append(took)
            for _ in range(4):
                moved, settled = zoom_ms(page)
                seen.append(moved)
                sharp.append(settled)
            page.context.close()
    return {
        name: {"median": round(median(of)), "max": round(max(of)), "all": [round(x) for x in of]}
        for name, of in (("first_chart_ms", first), ("zoom_ms", seen), ("zoom_sharp_ms", sharp))
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, scratch_api(Path(folder)) as api:
        engine = create_engine(api.database_url)
        with Session(engine) as session:
            owner = api_keys.caller_of(session.query(ApiKey).one())
            job_id = fill(session, owner, given.steps)
        found = measure(api, job_id, given.rounds)
    print(json.dumps({"steps": given.steps, "series": len(TRAIN), **found}, indent=2))
    missed = (
        found["first_chart_ms"]["median"] > FIRST_CHART_MS_AT_MOST
        or found["zoom_sharp_ms"]["median"] > ZOOM_MS_AT_MOST
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

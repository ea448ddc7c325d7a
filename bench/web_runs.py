"""How smooth the list of 500 runs of 10,000 points is: a part of `make bench-web`.

Fills a scratch Postgres, opens the list in a real Chromium with nothing cached, scrolls through all
of it with the wheel, and compares ten runs. Prints the times in milliseconds, and exits with 1 if a
target is missed: the first row within 1.5 s of the navigation's start; while scrolling, 95 of 100
frames within 50 ms (20 a second), and none above 200 ms; the first chart of ten compared runs
within 2 s.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Page
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from bench.web import WATCH, until
from cli.stack.scratch import ScratchApi, scratch_api
from cli.view.progress import bar
from models import ApiKey
from models.jobs import JobState
from orpo.contract.numbers import Series
from orpo.contract.rundir import Split
from services.access import api_keys
from services.access.callers import Caller
from services.runs import series
from tests import records
from tests.e2e import chromium

FIRST_ROW_MS, FRAME_MS_95, FRAME_MS, COMPARED_MS = 1500, 50, 200, 2000
COMPARED = 10
NAMES = [Series.ACCURACY, Series.LOG_ODDS_RATIO, Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED]
ROWS = """
    INSERT INTO metrics (job_id, split, name, step, generation, value, t)
    SELECT :job, :split, name, step, 1, sin(step / 900.0 + place) / 4 + 0.5 + random() / 8, now()
    FROM generate_series(1, :points) AS step,
         unnest(CAST(:names AS text[])) WITH ORDINALITY AS named (name, place)
"""
# The times between frames, from now on.
FRAMES = """
window.frames_ms = [];
let before = performance.now();
const note = (now) => {
  window.frames_ms.push(now - before);
  before = now;
  requestAnimationFrame(note);
};
requestAnimationFrame(note);
"""


def fill(session: Session, owner: Caller, runs: int, points: int) -> list[str]:
    """Write runs that have ended; return their ids."""
    base = records.base_model(session, owner).id
    file = records.file(session, owner).id
    ids = []
    with bar(f"Writing {runs} runs of {points:,} points in {len(NAMES)} series") as show:
        for n in range(runs):
            of = {"base_model": base, "training_file": file, "suffix": f"run-{n}"}
            job = records.job(session, owner, JobState.SUCCEEDED, **of)
            values = {"job": job.id, "split": Split.HELD_OUT, "names": NAMES, "points": points}
            session.execute(text(ROWS), values)
            series.roll_up(session, job.id, Split.HELD_OUT, 1, points)
            ids.append(job.id)
            session.commit()
            show(n + 1, runs)
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"}).execute(
        text("VACUUM ANALYZE metrics, metric_buckets, jobs")
    )
    return ids


def first_row_ms(page: Page) -> float:
    """Time from the start of the navigation to the first run in the list."""
    page.goto("/jobs", wait_until="commit")
    page.get_by_role("table", name="Runs").get_by_role("link").first.wait_for()
    return float(page.evaluate("performance.now()"))


def scroll(page: Page) -> list[float]:
    """Scroll to the end of the list with the wheel; the times between frames, in ms."""
    page.mouse.move(640, 450)
    page.evaluate(FRAMES)
    while True:
        before = page.evaluate("scrollY")
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(50)
        if page.evaluate("scrollY") == before:
            return page.evaluate("window.frames_ms.slice(2)")


def compared_ms(page: Page, ids: list[str]) -> float:
    """Time from the start of the navigation to the first line of compared runs."""
    page.add_init_script(WATCH)
    page.goto(f"/jobs/compare?ids={','.join(ids)}")
    until(page, "window.drawn.length > 0")
    return float(page.evaluate("window.drawn[0]"))


def measure(api: ScratchApi, ids: list[str], rounds: int) -> dict[str, Any]:
    rows, frames, charts = [], [], []
    with chromium.launched() as browser:
        for _ in range(rounds):
            page = chromium.context(browser, api.url, api.key).new_page()
            rows.append(first_row_ms(page))
            frames += scroll(page)
            charts.append(compared_ms(page, ids[:COMPARED]))
            page.context.close()
    frames.sort()
    return {
        "first_row_ms": round(median(rows)),
        "frames": len(frames),
        "frame_ms": {
            "median": round(median(frames), 1),
            "p95": round(frames[int(0.95 * len(frames))], 1),
            "max": round(frames[-1], 1),
        },
        "compared_ms": round(median(charts)),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=500)
    arguments.add_argument("--points", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, scratch_api(Path(folder)) as api:
        with Session(create_engine(api.database_url)) as session:
            owner = api_keys.caller_of(session.query(ApiKey).one())
            ids = fill(session, owner, given.runs, given.points)
        found = measure(api, ids, given.rounds)
    print(json.dumps({"runs": given.runs, "points": given.points, **found}, indent=2))
    missed = (
        found["first_row_ms"] > FIRST_ROW_MS
        or found["frame_ms"]["p95"] > FRAME_MS_95
        or found["frame_ms"]["max"] > FRAME_MS
        or found["compared_ms"] > COMPARED_MS
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

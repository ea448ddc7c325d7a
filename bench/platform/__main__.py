"""Our API and workers against bare probes of the same shape: `make bench-platform`.

Each row of the load table is measured on both sides in turn, several rounds, by one load client
on the same machine. A share is our speed divided by the bare probe's in the same round. Prints a
table, writes all raw figures to `bench/results`, and exits with 1 if a share is below 60 %.
"""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import machine
from bench.platform import rows
from bench.platform.rows import Figures
from bench.platform.stage import Side, Stage, stage

RESULTS = Path(__file__).parents[1] / "results"
FLOOR = 0.6
# Sockets of 10,000 followers, and what else a process opens.
OPEN_FILES = 12_000


@dataclass(frozen=True)
class Row:
    """One line of the table. The share is computed from `figure`: a rate, or a time in ms."""

    title: str
    measure: Callable[[Stage, Side], Figures]
    figure: str
    show: str
    aim: str
    meets: Callable[[Figures], bool]
    rounds: int

    def share(self, bare: Figures, ours: Figures) -> float:
        ratio = ours[self.figure] / bare[self.figure]
        return 1 / ratio if self.figure.endswith("_ms") else ratio


def table_rows(seconds: float) -> dict[str, Row]:
    many = {"show": "p99 {p99_ms:.0f} ms, {kib_a_client:.0f} KiB a client", "figure": "p99_ms"}
    asked = {"show": "{per_s:.0f}/s, p99 {p99_ms:.0f} ms", "figure": "per_s"}
    return {
        "get": Row(
            "GET a job, key checked", partial(rows.get_job, seconds=seconds), **asked,
            aim="at least 1,000/s, p99 below 150 ms",
            meets=lambda of: of["per_s"] >= 1000 and of["p99_ms"] < 150, rounds=5,
        ),
        "create": Row(
            "create a job", partial(rows.create_job, seconds=seconds), **asked,
            aim="at least 800/s", meets=lambda of: of["per_s"] >= 800, rounds=5,
        ),
        "stream": Row(
            "2,000 followers at 1 Hz",
            partial(rows.fan_out, clients=2000, every_s=1, rounds=12), **many,
            aim="none of its own", meets=lambda of: of["missing"] == 0, rounds=3,
        ),
        "crowd": Row(
            "10,000 followers at 0.2 Hz",
            partial(rows.fan_out, clients=10_000, every_s=5, rounds=6), **many,
            aim="p99 below 1,000 ms",
            meets=lambda of: of["p99_ms"] < 1000 and of["missing"] == 0, rounds=2,
        ),
        "points": Row(
            "metric points into Postgres", rows.points, figure="per_s", show="{per_s:,.0f}/s",
            aim="at least 50,000/s", meets=lambda of: of["per_s"] >= 50_000, rounds=5,
        ),
        "upload": Row(
            "upload and validation", rows.upload, figure="mb_per_s",
            show="{mb_per_s:.0f} MB/s, {peak_mb:.0f} MB resident",
            aim="at least 150 MB/s, flat memory", meets=lambda of: of["mb_per_s"] >= 150, rounds=3,
        ),
    }  # fmt: skip


def measure(on: Stage, row: Row, rounds: int | None) -> list[dict[Side, Figures]]:
    """Measure both sides for this number of rounds; the order is swapped each round."""
    found = []
    for number in range(rounds or row.rounds):
        order = list(Side) if number % 2 == 0 else list(Side)[::-1]
        results = {side: row.measure(on, side) for side in order}
        found.append({side: results[side] for side in Side})
        said = ", ".join(f"{side} {row.show.format(**results[side])}" for side in Side)
        print(f"{row.title}, round {number + 1}: {said}", file=sys.stderr, flush=True)
    return found


def summary(row: Row, found: list[dict[Side, Figures]]) -> dict[str, Any]:
    """The median over the rounds of each figure and of each share."""
    sides = {
        side: {name: median(each[side][name] for each in found) for name in found[0][side]}
        for side in Side
    }
    shares = [row.share(each[Side.BARE], each[Side.OURS]) for each in found]
    return {
        **sides,
        "share": median(shares),
        "shares": shares,
        "meets_aim": row.meets(sides[Side.OURS]),
    }


def table(known: dict[str, Row], found: dict[str, dict[str, Any]]) -> str:
    lines = ["| row | bare | ours | share | aim | met |", "| --- | --- | --- | --- | --- | --- |"]
    for name, of in found.items():
        row = known[name]
        bare, ours = (row.show.format(**of[side]) for side in Side)
        met = "yes" if of["meets_aim"] else "no"
        lines.append(f"| {row.title} | {bare} | {ours} | {of['share']:.0%} | {row.aim} | {met} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = table_rows(seconds=6)
    parser.add_argument("--rows", nargs="+", choices=known, default=list(known))
    parser.add_argument("--rounds", type=int, help="as many for every row")
    parser.add_argument("--out", type=Path, help="instead of a file named for day and machine")
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < OPEN_FILES and "crowd" in given.rows:
        print(f"10,000 followers are left out: {most} open files are allowed.", file=sys.stderr)
        given.rows.remove("crowd")
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as on:
        raw = {name: measure(on, known[name], given.rounds) for name in given.rows}
    found = {name: summary(known[name], of) for name, of in raw.items()}
    here = machine()
    print(f"On {here}.\n\n{table(known, found)}")
    path = given.out or RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-platform-{here.slug}.json"
    kept = {"machine": here.to_json(), "summary": found, "rounds": raw}
    path.write_text(json.dumps(kept, indent=1) + "\n")
    missed = [name for name, of in found.items() if of["share"] < FLOOR]
    for name in missed:
        print(f"{known[name].title}: {found[name]['share']:.0%} is below 60 %.", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Rows 17 and 20: a crowd of followers, and a run that floods its metrics.

What is measured, and its bounds, are those of `bench/platform/faults.py`, in a process of its own:
it is the load, and must not share Python's lock with the tests.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from cli.stack.parts import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def measured(*arguments: str, without: str = "") -> tuple[dict[str, Any], str]:
    """The figures, and a line for each bound that was missed."""
    tampered = ["tests.faults.without", without] if without else []
    command = [sys.executable, "-m", *tampered, "bench.platform.faults", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr
    assert done.returncode == (1 if done.stderr else 0), done.stderr
    return json.loads(done.stdout), done.stderr


def test_row_17_a_crowd_of_followers(seen):
    """10,000 clients follow a job that writes every 5 s; 100 of them stop reading."""
    found, missed = measured("crowd")
    of = found["crowd"]
    seen(f"p99 {of['p99_ms']:.0f} ms; the stalled ones dropped after {of['dropped_s']:.0f} s")
    assert not missed


def test_row_17_needs_the_drop(seen):
    """Row 17 with a server that drops no client, and fewer clients."""
    _, missed = measured("crowd", "--clients", "300", without="dropping")
    seen(missed.strip())
    assert "Stalled clients were held" in missed


def test_row_20_a_flood_of_metrics(seen):
    """A run writes 100,000 numbers a second, then numbers of 10,000 names, while others read."""
    found, missed = measured("flood", "names")
    p99_ms = max(read["p99_ms"] for of in found.values() for read in of["reads"].values())
    left_out = sum(sum(of["tail"]["left_out"].values()) for of in found.values())
    drained_s = max(of["tail"]["drain_s"] for of in found.values())
    seen(
        f"reads' p99 {p99_ms:.0f} ms; {left_out:,} numbers left out, and said so; all else stored "
        f"{drained_s:.1f} s after the end"
    )
    assert not missed


def test_row_20_needs_the_limit(seen):
    """Row 20 with a worker that stores every number, even when it falls behind."""
    _, missed = measured("flood", without="flood_limit")
    seen(missed.strip())
    assert "after the end" in missed

"""Distributes the tests of a run with `-n` over its processes, and sets their order.

A file stays in one process, so its fixtures are made once. Files that share an engine also
stay together. Long files come first, so that only short ones are left at the end.
"""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# The files of one set share an engine, which takes half a minute to start.
TOGETHER = (
    {
        "tests/e2e/test_loop.py",
        "tests/e2e/test_openai_example.py",
        "tests/e2e/test_page.py",
        "tests/e2e/test_page_loop.py",
    },
)
# Tests in this folder share a stack. It uses a tenth of a core until the last of them has ended.
FIRST = Path("tests/e2e")
# From the slowest kind to the fastest; a file has the kind of its slowest test.
KINDS = ("engine", "stack", "slow")


class Scheduling(LoadFileScheduling):
    """Schedules files in collection order; a file, or a set of TOGETHER, is one work unit."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        # By default the files with the most tests come first.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((min(files) for files in TOGETHER if file in files), file)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort files: those in FIRST, then by kind, then by size. A file's tests keep their order."""
    rank_of: dict[Path, int] = {}
    for item in items:
        kinds = {mark.name for mark in item.iter_markers()}
        rank = next((i for i, kind in enumerate(KINDS) if kind in kinds), len(KINDS))
        rank_of[item.path] = min(rank, rank_of.get(item.path, rank))
    size_of = {path: path.stat().st_size for path in rank_of}

    def place(item: pytest.Item) -> tuple[bool, int, int, str]:
        first = item.path.match(f"{FIRST}/*")
        return not first, rank_of[item.path], -size_of[item.path], str(item.path)

    items.sort(key=place)

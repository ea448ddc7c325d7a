"""Which tests of a run by `-n` are given to which process, and in which order.

A file stays in one process, so its fixtures are made once. Files that share an engine stay together
too. The long ones come first: at the end there are only short ones left to share out.
"""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# The tests in one of these share an engine, which takes half a minute to start.
TOGETHER = (
    {"tests/e2e/test_loop.py", "tests/e2e/test_openai_example.py", "tests/e2e/test_page.py"},
)
# Its tests share a stack, which ends with the last of them: until then it takes a tenth of a core.
FIRST = Path("tests/e2e")
# From the longest kind to the shortest: a file is as long as its longest test.
KINDS = ("engine", "stack", "slow")


class Scheduling(LoadFileScheduling):
    """Files in the order of the collection, each as one piece of work, or several as one."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        # By default the files with the most tests come first.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((min(files) for files in TOGETHER if file in files), file)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests: those of FIRST, then by the kind of their file; otherwise in their order."""
    rank_of: dict[Path, int] = {}
    for item in items:
        kinds = {mark.name for mark in item.iter_markers()}
        rank = next((i for i, kind in enumerate(KINDS) if kind in kinds), len(KINDS))
        rank_of[item.path] = min(rank, rank_of.get(item.path, rank))
    items.sort(key=lambda item: (not item.path.match(f"{FIRST}/*"), rank_of[item.path]))

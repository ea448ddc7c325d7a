"""The training process ends itself unless its deadline is extended."""

import os
import time
from pathlib import Path

from orpo.process import watchdog
from tests.orpo.tiny_run import FORK


def guarded(path: Path) -> None:
    watchdog.start({"ODDSMITH_DEADLINE_FILE": str(path)})
    time.sleep(20)
    os._exit(0)


def test_it_ends_when_the_deadline_passes_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "deadline"
    path.write_text(str(time.monotonic() + 1))
    child = FORK.Process(target=guarded, args=(path,))
    child.start()
    time.sleep(0.5)
    path.write_text(str(time.monotonic() + 1))  # a heartbeat
    time.sleep(0.7)
    assert child.is_alive()
    path.write_text("")  # half-written: what was known holds on
    child.join(5)
    assert child.exitcode == 70


def test_without_the_variable_nothing_watches() -> None:
    assert watchdog.start({}) is None

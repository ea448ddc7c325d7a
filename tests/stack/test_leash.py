"""The leash: no descendant of a program outlives the program or its supervisor."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest

from cli.stack.process import LEASH, wait_until
from tests.stack.toy import MARK, WILD, marked, nothing_left

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]

WAITING = "while :; do sleep 0.1; done"


class Leashed:
    def __init__(self, script: str, *options: str) -> None:
        self.mark = uuid4().hex
        command = [sys.executable, "-I", "-S", str(LEASH), *options, "--", "sh", "-c", script]
        self.leash = subprocess.Popen(
            command, stdin=subprocess.PIPE, env=os.environ | {MARK: self.mark}
        )

    def let_go(self) -> None:
        assert self.leash.stdin
        self.leash.stdin.close()

    def alive(self) -> list[psutil.Process]:
        return marked(self.mark)

    def has(self, count: int) -> bool:
        return wait_until(lambda: len(self.alive()) >= count, timeout_s=5)


@pytest.fixture
def leashed() -> Iterator[type[Leashed]]:
    made: list[Leashed] = []

    class Recorded(Leashed):
        def __init__(self, *arguments: str) -> None:
            super().__init__(*arguments)
            made.append(self)

    yield Recorded
    for one in made:
        for process in one.alive():
            process.kill()


def test_a_closed_lifeline_kills_children_in_sessions_of_their_own(leashed) -> None:
    tree = leashed(WILD)
    assert tree.has(7)  # the leash, the shell, and five sleepers and shells
    tree.let_go()
    assert nothing_left(tree.alive, within_s=5)
    assert tree.leash.wait(5) == 128 + signal.SIGKILL


def test_what_a_program_leaves_behind_is_killed_when_it_ends(leashed) -> None:
    tree = leashed("setsid sleep 1000 & exit 3")
    assert tree.leash.wait(10) == 3
    assert tree.alive() == []


def test_a_stop_becomes_the_programs_own_signal(leashed) -> None:
    tree = leashed("trap 'exit 7' INT; " + WAITING, "--stop", str(int(signal.SIGINT)))
    assert tree.has(3)
    tree.leash.terminate()
    assert tree.leash.wait(5) == 7


def test_an_orphan_gets_its_own_signal_first(leashed) -> None:
    tree = leashed("trap 'exit 5' QUIT; " + WAITING, "--orphan", str(int(signal.SIGQUIT)))
    assert tree.has(3)
    tree.let_go()
    assert tree.leash.wait(5) == 5
    assert nothing_left(tree.alive, within_s=1)


def test_an_orphan_that_ignores_its_signal_is_killed(leashed) -> None:
    tree = leashed("trap '' QUIT; sleep 1000 & wait", "--orphan", str(int(signal.SIGQUIT)))
    assert tree.has(3)
    tree.let_go()
    assert tree.leash.wait(8) == 128 + signal.SIGKILL
    assert tree.alive() == []


def test_the_program_dies_with_a_leash_that_is_killed(leashed) -> None:
    tree = leashed("exec sleep 1000")
    assert tree.has(2)
    tree.leash.kill()
    assert nothing_left(tree.alive, within_s=5)

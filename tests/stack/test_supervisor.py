"""The supervisor with tiny parts: stages, restarts, drains, and no remaining processes."""

import signal
from pathlib import Path

import psutil
import pytest

from cli.stack.process import Stage, wait_until
from tests.stack.toy import WILD, nothing_left, part, supervised

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]

STEADY = "sleep 1000 & wait"


def test_stages_start_in_order_and_stores_stop_last(tmp_path: Path) -> None:
    store = part("store", "echo open; " + STEADY, stage=Stage.STORES, ready_text="open")
    step = part("step", "sleep 0.2", stage=Stage.SCHEMA, once=True)
    with supervised(tmp_path, part("api", STEADY), step, store) as stack:
        stack.until("up")
        stack.process.terminate()
        assert stack.finish() == 0
        assert stack.order("ready") == ["store", "step", "api"]
        assert stack.order("stopping") == [["api"], ["store"]]
        assert stack.alive() == []


def test_a_crashed_part_starts_again_after_growing_pauses(tmp_path: Path) -> None:
    with supervised(tmp_path, part("api", "sleep 1; exit 9"), part("other", STEADY)) as stack:
        first = stack.until("restarting", "api")
        second = stack.until("restarting", "api")
        assert (first["code"], first["pause_s"], second["pause_s"]) == (9, 0.5, 1.0)
        stack.process.terminate()
        assert stack.finish() == 0
        assert stack.alive() == []


def test_a_drain_waits_for_work_under_way(tmp_path: Path) -> None:
    saving = "trap 'sleep 1; echo saved > saved; exit 0' TERM; echo on; sleep 1000 & wait"
    with supervised(tmp_path, part("train", saving, ready_text="on")) as stack:
        stack.until("up")
        stack.process.send_signal(signal.SIGINT)
        assert stack.finish() == 0
        assert (tmp_path / "saved").read_text() == "saved\n"
        assert stack.order("killing") == []


def test_a_second_interrupt_hurries(tmp_path: Path) -> None:
    stubborn = part("train", "trap '' TERM; echo on; " + WILD, ready_text="on")
    with supervised(tmp_path, stubborn, hurry_s=0.5) as stack:
        stack.until("up")
        stack.process.send_signal(signal.SIGINT)
        stack.until("stopping")
        stack.process.send_signal(signal.SIGINT)
        assert stack.finish() == 0
        assert stack.order("killing") == ["train"]
        assert stack.alive() == []


def test_a_part_that_does_not_start_ends_everything_with_its_last_words(tmp_path: Path) -> None:
    store = part("store", WILD, stage=Stage.STORES)
    with supervised(tmp_path, store, part("api", "echo no such table; exit 1")) as stack:
        message = stack.until("failed")["message"]
        assert "ended with code 1" in message
        assert "no such table" in message
        assert stack.finish() == 0
        assert stack.alive() == []


def test_a_part_that_is_never_ready_ends_everything(tmp_path: Path) -> None:
    slow = part("api", STEADY, ready_text="never said", ready_timeout_s=0.5)
    with supervised(tmp_path, slow) as stack:
        assert "was not ready after" in stack.until("failed")["message"]
        assert stack.finish() == 0
        assert stack.alive() == []


def test_a_stop_while_starting(tmp_path: Path) -> None:
    slow = part("api", STEADY, ready_text="never said")
    store = part("store", STEADY, stage=Stage.STORES)
    with supervised(tmp_path, store, slow) as stack:
        stack.until("ready", "store")
        stack.process.terminate()
        stack.until("stopped early")
        assert stack.finish() == 0
        assert stack.alive() == []


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    ignores = "trap '' TERM INT HUP; "
    with supervised(tmp_path, part("a", ignores + WILD), part("b", WILD)) as stack:
        stack.until("up")
        assert wait_until(lambda: len(stack.alive()) >= 15, timeout_s=5)
        stack.process.kill()
        assert nothing_left(stack.alive, within_s=10)


def test_a_killed_leash_leaves_nothing_and_its_part_starts_again(tmp_path: Path) -> None:
    with supervised(tmp_path, part("train", WILD)) as stack:
        stack.until("up")
        assert wait_until(lambda: len(stack.alive()) >= 8, timeout_s=5)
        before = {process.pid for process in stack.alive()} - {stack.process.pid}
        leash = psutil.Process(stack.process.pid).children()[0]
        leash.kill()
        stack.until("restarting", "train")
        assert wait_until(lambda: not before & {p.pid for p in stack.alive()}, timeout_s=5)
        stack.process.terminate()
        assert stack.finish() == 0
        assert stack.alive() == []

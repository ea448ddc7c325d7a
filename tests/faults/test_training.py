"""Rows 1 to 4 and 12: what dies, hangs, freezes or is asked to leave while a job trains."""

import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from orpo.contract import rundir
from tests.e2e.wait import wait_for
from tests.faults import invariants
from tests.faults.stack import (
    ENDLESS,
    EVERY,
    LEASE_S,
    STALL_S,
    TWO_RANKS,
    Stack,
    ended_within,
)

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too

# Between two checkpoints, and with more of them to come.
MIDWAY = EVERY + EVERY // 4


def is_second(job) -> bool:
    return job["generation"] == 2


def finish(stack: Stack, job_id: str, generation: int = 2) -> None:
    """Let a disturbed job end, and check everything."""
    job = stack.until_state(job_id, "succeeded")
    assert job["generation"] == generation
    invariants.hold(stack)


@pytest.mark.stack
def test_row_01_a_killed_worker(stack, faultless, seen):
    """SIGKILL to the worker's process group between two checkpoints.

    Passes when the standby claims the job within the lease and 2 s, no more than an interval of
    steps is lost, and I1 to I8 hold. Guard: the lease, and the keeper, which takes back jobs whose
    lease expired; the launcher ends at its deadline what the worker left.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    stack.holder(job_id).kill()
    killed, reached = time.monotonic(), stack.step(job_id)
    stack.until(job_id, is_second, LEASE_S + 2)
    claimed_s = time.monotonic() - killed
    finish(stack, job_id)
    lost = reached + 1 - stack.events(job_id, "resumed")[0]["first_step"]
    assert lost <= EVERY
    seen(f"claimed again after {claimed_s:.1f} s, {max(0, lost)} steps lost, the same weights")


@pytest.mark.faults
def test_row_02_a_killed_rank(stack, faultless, seen):
    """SIGKILL to one of two ranks.

    Passes when the whole group starts again from the last checkpoint, and I1 to I8 hold. Guard:
    the launcher ends the other rank, the worker hands the job back at once.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    stack.ranks(job_id)[1].kill()
    killed = time.monotonic()
    stack.until(job_id, is_second, 30)
    claimed_s = time.monotonic() - killed
    finish(stack, job_id)
    seen(f"claimed again after {claimed_s:.1f} s, the same weights")


@pytest.mark.faults
def test_row_02_a_rank_that_hangs(stack, faultless, seen):
    """SIGSTOP to one of two ranks: the other waits for it, and the worker's heartbeats continue.

    Passes when the silence is noticed, the group starts again, and I1 to I8 hold. Guard: the
    worker's limit on silence (ODDSMITH_STALL_S); no lease runs out here.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    stack.ranks(job_id)[1].suspend()
    stopped = time.monotonic()
    stack.until(job_id, is_second, STALL_S + 6)
    claimed_s = time.monotonic() - stopped
    finish(stack, job_id)
    seen(f"claimed again after {claimed_s:.1f} s (limit on silence: {STALL_S:.0f} s)")


@pytest.mark.faults
def test_row_02_needs_the_limit_on_silence(stack, seen):
    """The same, and the worker has no limit on silence: the job hangs for ever."""
    for worker in stack.train_workers:
        stack.restart(worker.name, "stall")
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    rank = stack.ranks(job_id)[1]
    rank.suspend()
    time.sleep(STALL_S + 6)
    assert stack.job(job_id)["generation"] == 1
    rank.kill()
    seen("without it the job still hung")


def is_launcher(words: list[str]) -> bool:
    """Whether these are the launcher's own: the sandbox's processes around it bear them, too."""
    return "orpo.ranks" in words and not any(w.endswith(("guard.py", "bwrap")) for w in words)


def freeze_worker_and_kill_agent(stack: Stack, job_id: str) -> float | None:
    """Seconds until no rank was alive; None if that took more than 2."""
    stack.holder(job_id).pause()
    agent = next(p for p in stack.tree(job_id) if is_launcher(p.cmdline()))
    assert len(stack.ranks(job_id, generation=1)) == 2
    agent.kill()
    return ended_within(lambda: stack.ranks(job_id, generation=1), 2)


@pytest.mark.faults
def test_row_03_a_killed_agent(stack, faultless, seen):
    """SIGKILL to the launcher while the worker is frozen.

    Passes when no rank is alive after 2 s, and after the worker's return I1 to I8 hold. Guards:
    each rank asks the kernel to die with its parent; a sandbox ends with its first process.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    worker = stack.holder(job_id)
    gone_s = freeze_worker_and_kill_agent(stack, job_id)
    worker.go_on()
    assert gone_s is not None
    finish(stack, job_id)
    seen(f"the ranks were gone after {gone_s:.2f} s")


@pytest.mark.faults
def test_row_03_needs_death_with_the_parent(stack, seen):
    """The same without a sandbox, and ranks don't ask the kernel: they outlive the launcher."""
    python = stack.rank_python("parent_death")
    for worker in stack.train_workers:
        stack.restart(worker.name, "sandbox", ODDSMITH_TRAIN_PYTHON=python)
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    assert freeze_worker_and_kill_agent(stack, job_id) is None
    seen("without it ranks were alive after 2 s")


def survivors(stack: Stack, job_id: str) -> str:
    """What is known of ranks that outlive their deadline, for the message of a failed row."""
    run_dir = rundir.generation(stack.folder.runs / job_id, 1)
    deadline_s = float((run_dir / rundir.deadline()).read_text())
    left = "\n".join(map(threads, stack.ranks(job_id, generation=1)))
    return f"{time.monotonic() - deadline_s:.1f} s past the deadline:\n{left}\n{stack.logs()}"


def threads(process: psutil.Process) -> str:
    """Each thread of a process with its state and where in the kernel it waits."""
    found = [f"{process.pid}: {process.cpu_times()}"]
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):
            name, state = (task / "stat").read_text().partition("(")[2].rsplit(") ", 1)
            stack = " < ".join((task / "stack").read_text().split()[1::2][:6])
            found.append(f"  {name} {state[0]} {stack}")
    return "\n".join(found)


@pytest.mark.faults
def test_row_04_a_frozen_worker(stack, faultless, seen):
    """SIGSTOP to the worker for three leases, then SIGCONT.

    Passes when its ranks are gone before the lease expires, the standby takes over, nothing of the
    old generation is written (I3), and the rest of I1 to I8 holds. Guards: the ranks' deadline, the
    worker's look at its own clock, and the fence (generation and lease) in every write.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    worker = stack.holder(job_id)
    worker.pause()
    frozen = time.monotonic()
    gone_s = ended_within(lambda: stack.ranks(job_id, generation=1), LEASE_S)
    assert gone_s is not None, survivors(stack, job_id)
    stack.until(job_id, is_second, LEASE_S + 2)
    claimed_s = time.monotonic() - frozen
    time.sleep(max(0.0, frozen + 3 * LEASE_S - time.monotonic()))
    worker.go_on()
    wait_for(lambda: worker.said("The training is stopped."), 10, stack.logs)
    finish(stack, job_id)
    seen(f"ranks gone after {gone_s:.1f} s, claimed again after {claimed_s:.1f} s, no late write")


@pytest.mark.faults
def test_row_04_needs_the_deadline(stack, seen):
    """The same, and the ranks have no deadline: they outlive the lease."""
    python = stack.rank_python("deadline")
    for worker in stack.train_workers:
        stack.restart(worker.name, ODDSMITH_TRAIN_PYTHON=python)
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    stack.holder(job_id).pause()
    assert ended_within(lambda: stack.ranks(job_id, generation=1), LEASE_S) is None
    seen("without it ranks were alive after the lease")


@pytest.mark.faults
def test_row_04_needs_the_fence(stack, seen):
    """The same, and writes of any worker are accepted: the checker finds them (I3)."""
    for worker in stack.train_workers:
        stack.restart(worker.name, "fence", "self_fence")
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    worker = stack.holder(job_id)
    worker.pause()
    stack.until(job_id, is_second, LEASE_S + 2)
    worker.go_on()
    found = wait_for(
        lambda: [text for text in invariants.problems(stack) if text.startswith("I3")], 20
    )
    seen(f"without it I3 found {len(found)} late writes")


def deploy(stack: Stack) -> float:
    """SIGTERM to everything but the stores; returns the seconds until all had left."""
    began = time.monotonic()
    for program in stack.programs.values():
        program.terminate()
    for program in stack.programs.values():
        program.wait(60)
    return time.monotonic() - began


@pytest.mark.faults
def test_row_12_a_deploy(stack, faultless, seen):
    """SIGTERM to workers, keeper and API while a job trains; then all start again.

    Passes when the job has a checkpoint of its last step and is queued within 60 s, with no attempt
    charged, and afterwards I1 to I8 hold. Guard: SIGTERM makes the ranks save, and the worker
    releases the job instead of losing it.
    """
    job_id = stack.create(**TWO_RANKS)
    stack.until_step(job_id, MIDWAY)
    left_s = deploy(stack)
    assert left_s < 60
    job, saved = stack.job(job_id), stack.checkpoints(job_id)[-1]
    assert (job["state"], job["attempts"]) == ("queued", 0)
    assert saved["step"] == stack.step(job_id)
    assert not stack.tree()
    stack.heal_programs()
    finish(stack, job_id)
    seen(f"queued after {left_s:.1f} s at step {saved['step']}, no attempt charged")


@pytest.mark.faults
def test_row_12_needs_the_release(stack, seen):
    """The same, and a stop counts as a loss: an attempt is charged."""
    for worker in stack.train_workers:
        stack.restart(worker.name, "release")
    job_id = stack.create(**ENDLESS)
    stack.until_step(job_id, 10)
    deploy(stack)
    assert stack.job(job_id)["attempts"] == 1
    seen("without it an attempt was charged")

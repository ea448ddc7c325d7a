"""Row 11: a clock that is an hour off. Only the database's clock decides on leases."""

import pytest

from tests.faults import invariants
from tests.faults.stack import ENDLESS, LEASE_S, TWO_RANKS, Stack

pytestmark = pytest.mark.timeout(600)  # on a machine that others use, too


def set_clocks(stack: Stack, *tricks: str) -> None:
    """One worker an hour ahead, its standby and the API an hour behind; ranks as their worker."""
    for name, clock in (("train-a", "fast_clock"), ("train-b", "slow_clock")):
        python = stack.rank_python(clock)
        stack.restart(name, clock, *tricks, ODDSMITH_TRAIN_PYTHON=python)
    stack.restart("api", "slow_clock")


@pytest.mark.faults
def test_row_11_clocks_an_hour_off(stack, faultless, seen):
    """The clocks of one worker an hour ahead, of the other and of the API an hour behind.

    Passes when two jobs, trained one after the other by whichever worker wakes first, are claimed
    once each, and I1 to I8 hold. Guard: leases are written and compared by the database's clock.
    """
    set_clocks(stack)
    for _ in range(2):
        job_id = stack.create(**TWO_RANKS)
        assert stack.until_state(job_id, "succeeded")["generation"] == 1
    invariants.hold(stack)
    seen("no early reap, one claim each")


@pytest.mark.faults
def test_row_11_needs_the_database_s_clock(stack, seen):
    """The same, and leases end by the worker's clock: a slow one loses its job at once."""
    for name in ("train-a", "train-b"):
        stack.restart(name, "slow_clock", "database_clock")
    job_id = stack.create(**ENDLESS)
    stack.until(job_id, lambda job: job["generation"] >= 2 or job["attempts"] >= 1, 60)
    seen(f"without it the job was taken back, {LEASE_S:.0f} s lease or not")

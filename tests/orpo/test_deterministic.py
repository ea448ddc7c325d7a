"""Random states are restored, also on a machine without the GPU that saved them. The ranks of a
machine share its cores.
"""

import os

import pytest
import torch

from orpo.process.deterministic import make_deterministic, random_state, set_random_state
from orpo.process.parallel import Single


@pytest.mark.parametrize(("environment", "threads"), [({}, 2), ({"LOCAL_WORLD_SIZE": "2"}, 4)])
def test_cores_are_shared_by_the_ranks_of_a_machine_and_not_by_those_of_others(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int
):
    ranks = Single()
    ranks.world = 4
    chosen: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    make_deterministic(0, None, ranks)
    assert chosen == [threads]


def test_random_numbers_go_on():
    state = random_state()
    expected = torch.rand(3)
    set_random_state(state)
    assert torch.equal(torch.rand(3), expected)


def test_a_gpus_part_is_passed_over_without_one():
    state = torch.get_rng_state()
    expected = torch.rand(3)
    set_random_state(torch.cat((state, torch.zeros(16, dtype=torch.uint8))))
    assert torch.equal(torch.rand(3), expected)

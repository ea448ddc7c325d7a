"""Random states: they go on where they were, also on a machine without the GPU that saved them."""

import torch

from orpo.deterministic import random_state, set_random_state


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

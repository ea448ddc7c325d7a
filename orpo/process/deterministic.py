"""Fixes threads, seeds and kernels of a process, so that the same run gives the same bits.

On a GPU this depends on the kernels: torch's own attention for packed rows sums the gradients of
queries in any order, flash-attn in a fixed order.
"""

import os

import torch
from torch import Tensor

from orpo.contract.rundir import LOCAL_WORLD_SIZE
from orpo.process.parallel import Single


def make_deterministic(seed: int, threads: int | None, parallel: Single) -> None:
    """Call before weights are made. By default the ranks of a machine share its cores."""
    cores = len(os.sched_getaffinity(0))
    ranks_here = int(os.environ.get(LOCAL_WORLD_SIZE, parallel.world))  # orpo.ranks sets it
    torch.set_num_threads(threads or max(1, cores // ranks_here))
    torch.manual_seed(seed + parallel.rank)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]  a property of the module


def random_state() -> Tensor:
    """This process's random state as bytes: the CPU's, followed by its GPU's if it has one."""
    state = torch.get_rng_state()
    return torch.cat((state, torch.cuda.get_rng_state())) if torch.cuda.is_available() else state


def set_random_state(state: Tensor) -> None:
    """Restore what `random_state` returned, on this machine or on one without a GPU."""
    size = len(torch.get_rng_state())
    torch.set_rng_state(state[:size].clone())
    if torch.cuda.is_available() and len(state) > size:
        torch.cuda.set_rng_state(state[size:].clone())

"""Threads, seeds and kernels of a process, fixed: the same run then ends in the same bits."""

import os

import torch

from orpo.parallel import Single


def make_deterministic(seed: int, threads: int | None, parallel: Single) -> None:
    """Call before weights are made. By default the ranks of a machine share its cores."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads or max(1, cores // parallel.world))
    torch.manual_seed(seed + parallel.rank)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]  a property of the module

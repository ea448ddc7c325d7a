"""How fast a step was, how much memory it took, and how full the device was.

Knows devices and clocks; knows nothing of what was computed.
"""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orpo.nf4 import Nf4Linear

# Dense bf16 peaks in FLOP/s, from NVIDIA's data sheets; elsewhere `mfu` is left out.
PEAK_FLOPS = {
    "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "A100": 312e12,
    "L40S": 362e12, "L4": 121e12,
}  # fmt: skip


# What a run does with its time.
PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "checkpoint")


class Clock:
    """Where the time goes, from one reading to the next."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._spent: defaultdict[str, float] = defaultdict(float)

    def read(self) -> dict[str, float]:
        """The share of each phase in the time since the last reading; then all begin at zero."""
        now = time.perf_counter()
        shares = {f"share/{name}": self._spent[name] / (now - self._since) for name in PHASES}
        self._since, self._spent = now, defaultdict(float)
        return shares

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside; a GPU is waited for, so that its work is counted where it was
        asked for.
        """
        _wait()
        began = time.perf_counter()
        yield
        _wait()
        self._spent[name] += time.perf_counter() - began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Weights:
    """How many values a policy has, and how many of them are trained."""

    total: int
    trained: int

    @classmethod
    def of(cls, policy: torch.nn.Module) -> "Weights":
        """Count them; ask before they are cut up over ranks. What is held in 4 bits counts whole,
        and what an adapter replaces does not count.
        """
        sizes = [
            (p.numel(), p.requires_grad)
            for name, p in policy.named_parameters()
            if ".original_module." not in name
        ]
        sizes += [
            (module.in_features * module.out_features, False)
            for module in policy.modules()
            if isinstance(module, Nf4Linear)
        ]
        return cls(sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))


def series(
    tokens: int, pairs: int, step_s: float, weights: Weights, world: int
) -> dict[str, float]:
    """Speed over all ranks, and this rank's peak memory in bytes (of its GPU where it has one).

    `tokens` are the useful ones: those that the method computes, each prefix once.
    """
    values = {
        "step_s": step_s,
        "tokens_per_s": tokens / step_s,
        "pairs_per_s": pairs / step_s,
        "mem_peak_bytes": float(peak_bytes()),
    }
    peak = peak_flops()
    if peak is not None:
        values["mfu"] = flops(weights, tokens) / (step_s * peak * world)
    return values


def flops(weights: Weights, tokens: int) -> float:
    """FLOP of a step's products: 2 forward and 2 for the inputs' gradients per weight and token,
    and 2 more per trained weight (arXiv 2001.08361, section 2.1); attention is not counted.
    """
    return (4.0 * weights.total + 2.0 * weights.trained) * tokens


def peak_bytes() -> int:
    """Most memory held so far: on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device() -> dict[str, Any]:
    """What this process computes on, and how much memory that has: `{name, memory_bytes}`."""
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(torch.cuda.current_device())
        return {"name": found.name, "memory_bytes": found.total_memory}
    cores = len(os.sched_getaffinity(0))
    return {"name": f"CPU, {cores} cores", "memory_bytes": _main_memory_bytes()}


def _main_memory_bytes() -> int:
    """Of the machine, or of the container where that is less (cgroup v2)."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def peak_flops() -> float | None:
    """The device's peak in bf16, where it is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)

"""How fast a step was, how much memory it took, and how full the device was.

Knows devices and clocks; knows nothing of what was computed.
"""

import os
import re
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orpo.contract.numbers import Phase, Series, share
from orpo.layers.nf4 import Nf4Linear

# Dense bf16 peaks in FLOP/s, from NVIDIA's data sheets; elsewhere `mfu` is left out.
PEAK_FLOPS = {
    "B200": 2250e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12,
    "A100": 312e12, "A10": 125e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12,
}  # fmt: skip


PHASES_OF_PAIRS = (Phase.DATA, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
PHASES_ON_POLICY = (Phase.GENERATION, Phase.SCORING, Phase.UPDATE)
BETWEEN_STEPS = (Phase.EVALUATION, Phase.CHECKPOINT)


class Clock:
    """The time spent in each phase of a step and between steps, from one reading to the next."""

    def __init__(self, of_step: Iterable[Phase] = PHASES_OF_PAIRS) -> None:
        self._since = time.perf_counter()
        self._spent = dict.fromkeys((*of_step, *BETWEEN_STEPS), 0.0)

    def read(self) -> dict[str, float]:
        """Each phase's share of the time since the last reading; resets all phases to zero."""
        now = time.perf_counter()
        shares = {share(phase): s / (now - self._since) for phase, s in self._spent.items()}
        self._since, self._spent = now, dict.fromkeys(self._spent, 0.0)
        return shares

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Count the time inside the block. Waits for the GPU, so that its work counts in the phase
        that started it.
        """
        _wait()
        began = time.perf_counter()
        yield
        _wait()
        self._spent[phase] += time.perf_counter() - began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Weights:
    """The number of values of a policy, and of its trained values; the same for the values that one
    token uses, because a mixture of experts uses only a few experts for each token.
    """

    total: int
    trained: int
    met: int
    met_trained: int

    @classmethod
    def of(cls, policy: torch.nn.Module) -> "Weights":
        """Count them; call it before they are sharded over ranks. A weight in 4 bits counts as all
        its values; a weight that an adapter replaces does not count.
        """
        sizes = [
            (name, p.numel(), p.requires_grad)
            for name, p in policy.named_parameters()
            if ".original_module." not in name
        ]
        sizes += [
            (name, module.in_features * module.out_features, False)
            for name, module in policy.named_modules()
            if isinstance(module, Nf4Linear)
        ]
        share = _share_of_experts(policy)
        met = [(n * share if ".experts." in name else n, trained) for name, n, trained in sizes]
        return cls(
            total=sum(n for _, n, _ in sizes),
            trained=sum(n for _, n, trained in sizes if trained),
            met=round(sum(n for n, _ in met)),
            met_trained=round(sum(n for n, trained in met if trained)),
        )


def _share_of_experts(policy: torch.nn.Module) -> float:
    """The share of a layer's experts that one token uses; 1 if the configuration does not say."""
    config: Any = policy.config
    text = config.get_text_config()
    met = getattr(text, "num_experts_per_tok", None)
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((n for name in names if (n := getattr(text, name, None))), None)
    return met / experts if met and experts else 1.0


def series(
    tokens: int, pairs: int, step_s: float, weights: Weights, world: int
) -> dict[str, float]:
    """Speed over all ranks, and this rank's peak memory in bytes (of its GPU where it has one).

    `tokens` counts the tokens that the method computes, each prefix once.
    """
    values: dict[str, float] = {
        Series.STEP_S: step_s,
        Series.TOKENS_PER_S: tokens / step_s,
        Series.PAIRS_PER_S: pairs / step_s,
        Series.MEM_PEAK_BYTES: float(peak_bytes()),
    }
    peak = peak_flops()
    if peak is not None:
        values[Series.MFU] = flops(weights, tokens) / (step_s * peak * world)
    return values


def flops(weights: Weights, tokens: int) -> float:
    """FLOP of a step's products: per token, 4 for each weight that it uses (2 forward, 2 for the
    inputs' gradients) and 2 more for each trained weight (arXiv 2001.08361, section 2.1).

    Embeddings and head count like all weights, at every token; attention is not counted.
    """
    return (4.0 * weights.met + 2.0 * weights.met_trained) * tokens


def peak_bytes() -> int:
    """Peak memory so far: on the GPU if there is one, otherwise resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device() -> dict[str, Any]:
    """The device of this process and the size of its memory: `{name, memory_bytes}`."""
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(torch.cuda.current_device())
        return {"name": found.name, "memory_bytes": found.total_memory}
    cores = len(os.sched_getaffinity(0))
    return {"name": f"CPU, {cores} cores", "memory_bytes": _main_memory_bytes()}


def _main_memory_bytes() -> int:
    """Memory of the machine, or of the container if that is less (cgroup v2)."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def peak_flops() -> float | None:
    """The device's peak in bf16, where it is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    found = (peak for model, peak in PEAK_FLOPS.items() if re.search(rf"\b{model}\b", name))
    return next(found, None)

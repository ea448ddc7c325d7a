"""How fast a step was, how much memory it took, and how full the device was.

Knows devices and clocks; knows nothing of what was computed.
"""

import resource
from collections.abc import Sequence

import torch

from orpo.tokenize import Example

# Dense bf16 peaks in FLOP/s, from NVIDIA's data sheets; elsewhere `mfu` is left out.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}


def series(
    examples: Sequence[Example], step_s: float, policy: torch.nn.Module, world: int
) -> dict[str, float]:
    """Speed over all ranks, and this rank's peak memory in bytes (of its GPU where it has one)."""
    tokens = sum(example.n_tokens for example in examples)
    values = {
        "step_s": step_s,
        "tokens_per_s": tokens / step_s,
        "pairs_per_s": len(examples) / step_s,
        "mem_peak_bytes": float(peak_bytes()),
    }
    peak = peak_flops()
    if peak is not None:
        values["mfu"] = flops(policy, tokens) / (step_s * peak * world)
    return values


def flops(policy: torch.nn.Module, tokens: int) -> float:
    """FLOP of a step's products: 2 forward and 2 for the inputs' gradients per weight and token,
    and 2 more per trained weight (arXiv 2001.08361, section 2.1); attention is not counted.
    """
    weights = sum(p.numel() for p in policy.parameters())
    trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    return (4.0 * weights + 2.0 * trained) * tokens


def peak_bytes() -> int:
    """Most memory held so far: on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_flops() -> float | None:
    """The device's peak in bf16, where it is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)

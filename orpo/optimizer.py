"""AdamW and the learning rate as a function of the step.

The rate depends on nothing but the step, so a resumed run needs no scheduler state.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch

from orpo.hyperparameters import Hyperparameters, Schedule


def adamw(masters: Iterable[torch.nn.Parameter], method: Hyperparameters) -> torch.optim.AdamW:
    """AdamW over the masters (arXiv 1711.05101), its states in their fp32."""
    return torch.optim.AdamW(parameter_groups(masters, method), lr=peak_rate(method), fused=True)


def parameter_groups(
    masters: Iterable[torch.nn.Parameter], method: Hyperparameters
) -> list[dict[str, Any]]:
    """Weight decay acts on matrices only, as usual: not on biases and norms."""
    masters = list(masters)
    groups = [
        {"params": [p for p in masters if p.ndim >= 2], "weight_decay": method.weight_decay},
        {"params": [p for p in masters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def peak_rate(method: Hyperparameters) -> float:
    """The highest learning rate of the run."""
    return method.learning_rate * method.learning_rate_multiplier


def rate(step: int, steps: int, method: Hyperparameters) -> float:
    """The learning rate of `step` (the first is 1) in a run of `steps` steps.

    It rises linearly over the warm-up, reaches its peak, and falls towards zero behind the last
    step, so that no step is spent at zero.
    """
    warmup = math.ceil(method.warmup_ratio * steps)
    if step <= warmup:
        return peak_rate(method) * step / warmup
    progress = (step - 1 - warmup) / max(1, steps - warmup)
    return peak_rate(method) * _shape(method.schedule, progress)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every parameter group the learning rate `value`."""
    for group in optimizer.param_groups:
        group["lr"] = value


def _shape(schedule: Schedule, progress: float) -> float:
    match schedule:
        case Schedule.COSINE:
            return (1 + math.cos(math.pi * progress)) / 2
        case Schedule.LINEAR:
            return 1 - progress
        case Schedule.CONSTANT:
            return 1.0

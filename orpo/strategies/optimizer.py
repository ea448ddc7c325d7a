"""The optimizer, what it remembers of each weight, and the learning rate as a function of the step.

The rate depends on nothing but the step, so a resumed run needs no scheduler state.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from orpo.contract.hyperparameters import Hyperparameters, Optimizer, Schedule
from orpo.layers.bnb import bitsandbytes

# What Adafactor's step is measured by: (least variance, least size of a weight). It clips a step's
# mean square at 1 and multiplies it by the weight's own size where that is more than the second
# number. At 1 it is not multiplied: a rate means what it means to AdamW, and an adapter's half that
# begins at zero moves. The first is squared in fp32, where torch's default would swallow gradients
# below 1e-7.
ADAFACTOR_EPS = (1e-15, 1.0)
# bitsandbytes keeps them beside each weight: its own, and the same for all.
CODE_BOOKS = ("qmap1", "qmap2")


def make(masters: Iterable[torch.nn.Parameter], method: Hyperparameters) -> torch.optim.Optimizer:
    """The method's optimizer over the fp32 masters.

    AdamW (arXiv 1711.05101) with moments in fp32, or in blocks of 256 values of 8 bits (arXiv
    2110.02861; tensors below 4,096 values keep fp32); Adafactor (arXiv 1804.04235). Raises
    Failure(`bad_spec`) where its library is missing.
    """
    groups, lr = parameter_groups(masters, method), peak_rate(method)
    match method.optimizer:
        case Optimizer.ADAMW:
            return torch.optim.AdamW(groups, lr=lr, fused=True)
        case Optimizer.ADAMW_8BIT:
            return bitsandbytes("optimizer", "adamw").optim.AdamW8bit(groups, lr=lr)
        case Optimizer.ADAFACTOR:
            return torch.optim.Adafactor(groups, lr=lr, eps=ADAFACTOR_EPS)


def memory(optimizer: torch.optim.Optimizer, master: torch.nn.Parameter) -> dict[str, Tensor]:
    """What the optimizer remembers of one weight, by its own names; numbers as tensors."""
    return {
        name: value if isinstance(value, Tensor) else torch.tensor(value)
        for name, value in optimizer.state[master].items()
        if name not in CODE_BOOKS
    }


@torch.no_grad()
def make_memory(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer make its memory, as it does at its first step, by one that moves nothing.

    Gradients must be zero, as before a run's first step. What is made is to be overwritten.
    """
    set_rate(optimizer, 0.0)
    optimizer.step()


def remember(
    optimizer: torch.optim.Optimizer, master: torch.nn.Parameter, name: str, value: Tensor
) -> None:
    """Overwrite what `make_memory` has made, exactly; `value` is as `memory` gave it."""
    state = optimizer.state[master]
    if isinstance(state[name], Tensor):
        state[name].copy_(value)
    else:
        state[name] = value.item()


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

"""The optimizer, its state for each weight, and the learning rate as a function of the step.

The rate depends only on the step, so a resumed run needs no scheduler state.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from orpo.contract.hyperparameters import Hyperparameters, Optimizer, Schedule
from orpo.layers.bnb import bitsandbytes

# Lower limits for Adafactor: (of the variance, of a weight's size). Adafactor clips a step's mean
# square at 1 and multiplies the step by the weight's size, or by the second limit if that is
# larger. The limit 1 removes this scaling for usual weights: a rate means the same as with AdamW,
# and the half of an adapter that starts at zero moves. The first limit is squared in fp32; torch's
# default would hide gradients below 1e-7.
ADAFACTOR_EPS = (1e-15, 1.0)
# Constants of bitsandbytes, the same for all weights, which it keeps in each weight's state.
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
    """The optimizer's state of one weight, under the optimizer's own names; numbers as tensors."""
    return {
        name: value if isinstance(value, Tensor) else torch.tensor(value)
        for name, value in optimizer.state[master].items()
        if name not in CODE_BOOKS
    }


@torch.no_grad()
def make_memory(optimizer: torch.optim.Optimizer) -> None:
    """Make the optimizer create its state by a step that changes no weight.

    Gradients must be zero, as before a run's first step. The caller overwrites the created state.
    """
    set_rate(optimizer, 0.0)
    optimizer.step()


def remember(
    optimizer: torch.optim.Optimizer, master: torch.nn.Parameter, name: str, value: Tensor
) -> None:
    """Overwrite the state that `make_memory` created; `value` comes from `memory`."""
    state = optimizer.state[master]
    if isinstance(state[name], Tensor):
        state[name].copy_(value)
    else:
        state[name] = value.item()


def parameter_groups(
    masters: Iterable[torch.nn.Parameter], method: Hyperparameters
) -> list[dict[str, Any]]:
    """Weight decay applies to matrices only, as usual: not to biases and norms."""
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

    It rises linearly to its peak over the warm-up. Then it stays there (`constant`), or falls so
    that it would be zero one step after the last: no step has a rate of zero.
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

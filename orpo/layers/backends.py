"""Chooses the kernel for packed attention: the first in a table that supports the call and passes a
trial.

The trial computes a few sequences, forward and backward, and compares them with the path that
serves every call. A kernel that is missing, too old, or built for another device therefore costs
speed, but never gives a wrong number. Knows kernels and calls; knows no model.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from orpo.layers import by_segment, flex, varlen
from orpo.layers.layout import Attend, Call, Layout
from orpo.tokens.pack import Segment

log = logging.getLogger(__name__)

# A pair on one prefix, a pair without a shared prefix, and a single sequence; longer than a
# kernel's tiles.
TRIAL = [
    Segment(0, 0, 70, 70, 110), Segment(1, 0, 70, 110, 200), Segment(2, 200, 230, 230, 235),
    Segment(3, 235, 265, 265, 330), Segment(4, 330, 333, 333, 470),
]  # fmt: skip
TRIAL_WINDOW, TRIAL_CAP = 33, 2.0
# Relative to the norm of outputs and gradients. A mask that is off by one row changes them by 10 %.
TOLERANCE = {torch.bfloat16: 3e-2, torch.float16: 1e-2, torch.float32: 1e-4}


class Backend(NamedTuple):
    """A way to compute packed attention; `why_not` says which calls it can't serve."""

    name: str
    attend: Attend
    why_not: Callable[[Call], str | None]


EVERY_CALL = Backend("segments", by_segment.attend, lambda _: None)
BACKENDS = (
    Backend("flash-attn", partial(varlen.attend, varlen.by_flash_attn), varlen.why_not_flash_attn),
    Backend("varlen", partial(varlen.attend, varlen.by_torch), varlen.why_not_torch),
    Backend("flex", flex.attend, flex.why_not),
    EVERY_CALL,
)
chosen: dict[Call, Backend] = {}  # in this process


def choose(call: Call) -> Backend:
    """The backend for calls of this kind, the same one each time."""
    if call not in chosen:
        chosen[call] = next(each for each in BACKENDS if _serves(each, call))
    return chosen[call]


def _serves(backend: Backend, call: Call) -> bool:
    if backend.why_not(call):
        return False
    if backend is EVERY_CALL:
        return True
    if problem := what_is_wrong(backend.attend, call):
        log.warning("Attention does not use %s, which %s.", backend.name, problem)
    return not problem


def what_is_wrong(attend: Attend, call: Call) -> str | None:
    """How outputs or gradients of a trial differ from what they should be, or None.

    There are two trials of different length: code compiled for one length may fail for others.
    """
    names = ("output", "query's gradient", "key's gradient", "value's gradient")
    for segments in (TRIAL, TRIAL[:-1]):
        try:
            found = _trial(segments, attend, call, call.dtype)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  an unsuitable kernel can raise anything
            return f"fails with {type(error).__name__}: {error}"
        exact = _trial(segments, by_segment.attend, call, torch.float32)
        for name, mine, right in zip(names, found, exact, strict=True):
            off = float((mine.float() - right).norm() / right.norm())
            if not off <= TOLERANCE[call.dtype]:
                return f"is off by {off:.1e} in the {name}"
    return None


def _trial(
    segments: list[Segment], attend: Attend, call: Call, compute: torch.dtype
) -> tuple[Tensor, ...]:
    """Output and gradients on random numbers that `call.dtype` holds, computed in `compute`."""
    random, n = torch.Generator().manual_seed(0), segments[-1].tail_end

    def normal(*shape: int) -> Tensor:
        made = torch.randn(*shape, generator=random).to(call.dtype)
        return made.to(call.device, compute)

    sizes = ((call.heads, call.size), (call.groups, call.size), (call.groups, call.value_size))
    query, key, value = (normal(1, heads, n, size).requires_grad_() for heads, size in sizes)
    window, cap = TRIAL_WINDOW if call.window else None, TRIAL_CAP if call.softcap else None
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_as_it_is, _as_it_is):
        output = attend(Layout(segments), query, key, value, call.size**-0.5, window, cap)
        gradients = torch.autograd.grad(output, (query, key, value), normal(*output.shape))
    return output.detach(), *gradients


def _as_it_is(tensor: Tensor) -> Tensor:
    """Hide the trial's saved tensors: checkpointing counts those of a recomputed layer."""
    return tensor

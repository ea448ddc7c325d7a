"""Packed attention by torch's FlexAttention (arXiv 2412.05496), for calls that flash kernels can't
serve: fp32, capped scores and unusual heads.

The mask is a function of two packed positions, so keys are never copied. Knows segments; knows no
model.

Shapes: H query heads, G key/value heads, T packed tokens, D head size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from orpo.layers.layout import Call, Layout
from orpo.tokens.pack import Segment

SMALLEST_HEAD = 16  # a limit of the compiled kernel


@dataclass(frozen=True)
class Places:
    """For each packed token: where its block begins, its tail in the block (0: the prefix, which
    all tails see), and its position in the sequence; int32.
    """

    block_T: Tensor
    tail_T: Tensor
    position_T: Tensor


def places(segments: Sequence[Segment], device: torch.device) -> Places:
    """The places of a layout's tokens, on `device`."""
    block: list[int] = []
    tail: list[int] = []
    position: list[int] = []
    for number, segment in enumerate(segments, 1):
        n_prefix = segment.prefix_end - segment.prefix_start
        n_tail = segment.tail_end - segment.tail_start
        if segment.contiguous:
            tail += [0] * n_prefix
            position += range(n_prefix)
        tail += [number] * n_tail
        position += range(n_prefix, n_prefix + n_tail)
        block += [segment.prefix_start] * (len(tail) - len(block))
    columns = (torch.tensor(x, dtype=torch.int32, device=device) for x in (block, tail, position))
    return Places(*columns)


def block_mask(segments: Sequence[Segment], device: torch.device, window: int | None) -> BlockMask:
    """What each packed token sees, by blocks of the kernel."""
    at = places(segments, device)
    block_T, tail_T, position_T = at.block_T, at.tail_T, at.position_T
    limit = _scalar(segments, window or 0, device)

    def seen(_b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        own = (tail_T[k] == 0) | (tail_T[k] == tail_T[q])
        return (k <= q) & (block_T[k] == block_T[q]) & own

    def near(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return seen(b, h, q, k) & (position_T[q] - position_T[k] < limit)

    size = len(block_T)
    make = _fit(create_block_mask, device.type)
    return make(seen if window is None else near, None, None, size, size, device=device)


def attend(
    layout: Layout,
    query_1HTD: Tensor,
    key_1GTD: Tensor,
    value_1GTD: Tensor,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """See `layout.Attend`."""
    cap = layout.once(_scalar, softcap or 0, query_1HTD.device)

    def capped(score: Tensor, _b: Tensor, _h: Tensor, _q: Tensor, _k: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    compute = _fit(flex_attention, query_1HTD.device.type)
    output_1HTD = compute(
        query_1HTD,
        key_1GTD,
        value_1GTD,
        score_mod=None if softcap is None else capped,
        block_mask=layout.once(block_mask, query_1HTD.device, window),
        scale=scaling,
        enable_gqa=query_1HTD.shape[1] != key_1GTD.shape[1],
    )
    return output_1HTD.transpose(1, 2).contiguous()


def why_not(call: Call) -> str | None:
    """Why FlexAttention can't or should not serve such a call, or None."""
    if call.device.type != "cuda":
        return "on a CPU it has no backward pass"
    if call.dtype is torch.float64:
        return "it computes in fp32 at most"
    if min(call.size, call.value_size) < SMALLEST_HEAD:
        return f"heads of {call.size} are smaller than {SMALLEST_HEAD}"
    return None if call.long else "so few tokens are not worth compiling for"


def _scalar(_segments: Sequence[Segment], value: float, device: torch.device) -> Tensor:
    """A number as a tensor: a plain number would be compiled again for each new value."""
    return torch.tensor(value, device=device)


@cache
def _fit(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compiled for a GPU: without the compiler, the function would hold all scores in memory."""
    return torch.compile(function) if device == "cuda" else function

"""Packed attention in one call of a kernel for sequences of unequal length.

Queries stay as they are packed: a prefix with its first tail is one sequence, and each further tail
is a sequence of its own. Keys and values are copied for each sequence that sees them, so a shared
prefix is repeated before every further tail. The last query of a sequence sees all its keys (the
kernels call this bottom-right). Knows segments and kernels; knows no model.

Shapes: H query heads, G key/value heads, T packed tokens, K rows of keys, S sequences, U uses of a
token as a key, D head size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from orpo.layers.layout import Call, Layout
from orpo.tokens.pack import Segment

HALVES = (torch.bfloat16, torch.float16)
LARGEST_HEAD = 256  # the limit of both kernels


@dataclass(frozen=True)
class Rows:
    """Where each sequence's queries and keys begin and end, as `[S + 1]` running totals, int32.

    `key_K` is the packed token of each row of keys, or None where the rows are the packed tokens in
    their order. `uses_UT` holds the rows of each token; `unused_UT` marks its unused entries.
    """

    starts_q_S: Tensor
    starts_k_S: Tensor
    longest_q: int
    longest_k: int
    key_K: Tensor | None
    uses_UT: Tensor
    unused_UT: Tensor

    def keys(self, tensor_TGD: Tensor) -> Tensor:
        """Keys or values for every sequence that sees them, [K, G, D]."""
        if self.key_K is None:
            return tensor_TGD
        return cast(Tensor, _Spread.apply(tensor_TGD, self))


def lay_out(segments: Sequence[Segment], device: torch.device) -> Rows:
    """The rows of a layout's segments, on `device`."""
    key_K = torch.cat(
        [
            torch.arange(*ends)
            for segment in segments
            for ends in (
                (segment.prefix_start, segment.prefix_end),
                (segment.tail_start, segment.tail_end),
            )
        ]
    )
    prefixes = [segment.prefix_end - segment.prefix_start for segment in segments]
    tails = [segment.tail_end - segment.tail_start for segment in segments]
    lengths_k = [prefix + tail for prefix, tail in zip(prefixes, tails, strict=True)]
    lengths_q = [
        length if segment.contiguous else tail
        for segment, length, tail in zip(segments, lengths_k, tails, strict=True)
    ]
    uses_UT, unused_UT = _uses(key_K)
    shared = len(key_K) > uses_UT.shape[1]
    return Rows(
        starts_q_S=_starts(lengths_q).to(device),
        starts_k_S=_starts(lengths_k).to(device),
        longest_q=max(lengths_q),
        longest_k=max(lengths_k),
        key_K=key_K.to(device) if shared else None,
        uses_UT=uses_UT.to(device),
        unused_UT=unused_UT.to(device),
    )


def _starts(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def _uses(key_K: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that hold each token, padded, and which of these entries are padding."""
    count_T = key_K.bincount()
    order_K = key_K.argsort(stable=True)
    first_T = count_T.cumsum(0) - count_T
    use_U1 = torch.arange(int(count_T.max()))[:, None]
    return order_K[(first_T + use_U1).clamp(max=len(key_K) - 1)], use_U1 >= count_T


class _Spread(torch.autograd.Function):
    """Rows of a tensor by index; a token's gradient is the sum over the rows that hold it.

    It gathers the rows of each token. A scatter-add would need atomic additions, or a sort in every
    layer.
    """

    @staticmethod
    def forward(ctx: Any, tensor_TGD: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        return tensor_TGD.index_select(0, cast(Tensor, rows.key_K))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_KGD: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        first_T, *others = ctx.rows.uses_UT
        total_TGD = grad_KGD.index_select(0, first_T)
        for use_T, unused_T in zip(others, ctx.rows.unused_UT[1:], strict=True):
            again_TGD = grad_KGD.index_select(0, use_T)
            total_TGD += again_TGD.masked_fill_(unused_T[:, None, None], 0)
        return total_TGD, None


# Queries [T, H, D], keys and values [K, G, D], their rows, scaling, window and cap, to [T, H, D].
Kernel = Callable[[Tensor, Tensor, Tensor, Rows, float, int | None, float | None], Tensor]


def attend(
    kernel: Kernel,
    layout: Layout,
    query_1HTD: Tensor,
    key_1GTD: Tensor,
    value_1GTD: Tensor,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """Attention through one call of `kernel`; for the arguments see `layout.Attend`."""
    rows = layout.once(lay_out, query_1HTD.device)
    query_THD, key_TGD, value_TGD = (
        x[0].transpose(0, 1) for x in (query_1HTD, key_1GTD, value_1GTD)
    )
    key_KGD, value_KGD = rows.keys(key_TGD), rows.keys(value_TGD)
    return kernel(query_THD, key_KGD, value_KGD, rows, scaling, window, softcap)[None]


def by_flash_attn(
    query_THD: Tensor,
    key_KGD: Tensor,
    value_KGD: Tensor,
    rows: Rows,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """The package flash-attn (arXiv 2307.08691), 2.6 or later."""
    return _flash_attn()(
        query_THD,
        key_KGD,
        value_KGD,
        cu_seqlens_q=rows.starts_q_S,
        cu_seqlens_k=rows.starts_k_S,
        max_seqlen_q=rows.longest_q,
        max_seqlen_k=rows.longest_k,
        softmax_scale=scaling,
        causal=True,
        window_size=(_behind(window, rows), 0),
        softcap=softcap or 0.0,
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


def why_not_flash_attn(call: Call) -> str | None:
    """Why flash-attn can't serve such a call, or None."""
    if problem := _why_not(call):
        return problem
    return None if _flash_attn() else "flash-attn 2.6 or later is not installed"


@cache
def _flash_attn() -> Any:
    try:
        from flash_attn import (  # pyright: ignore[reportMissingImports]  # noqa: PLC0415
            flash_attn_varlen_func,
        )
    except (ImportError, OSError):  # absent, or built for another torch
        return None
    known = signature(flash_attn_varlen_func).parameters
    return (
        flash_attn_varlen_func
        if {"window_size", "softcap", "deterministic"} <= set(known)
        else None
    )


def by_torch(
    query_THD: Tensor,
    key_KGD: Tensor,
    value_KGD: Tensor,
    rows: Rows,
    scaling: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """torch's own build of flash attention, `torch.nn.attention.varlen` (2.13); it can't cap
    scores.
    """
    del softcap  # see `why_not_torch`
    return _torch()(
        query_THD,
        key_KGD,
        value_KGD,
        rows.starts_q_S,
        rows.starts_k_S,
        rows.longest_q,
        rows.longest_k,
        scale=scaling,
        window_size=(_behind(window, rows), 0),
        enable_gqa=query_THD.shape[1] != key_KGD.shape[1],
    )


def why_not_torch(call: Call) -> str | None:
    """Why torch's kernel can't serve such a call, or None."""
    if problem := _why_not(call):
        return problem
    if call.softcap:
        return "it caps no scores"
    if call.size % 8:
        return f"heads of {call.size} are no multiple of 8"
    if not torch.backends.cuda.is_flash_attention_available():
        return "this torch was built without it"
    return None if _torch() else "this torch is too old for it"


@cache
def _torch() -> Any:
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415  exists since 2.10
    except ImportError:
        return None
    known = signature(varlen_attn).parameters  # in 2.10 it had neither window nor groups
    return varlen_attn if {"window_size", "scale", "enable_gqa"} <= set(known) else None


def _why_not(call: Call) -> str | None:
    """Why neither kernel can serve such a call, or None."""
    if call.device.type != "cuda":
        return "it runs on GPUs only"
    if call.dtype not in HALVES:
        return f"it computes in bf16 and fp16, not in {call.dtype}"
    if call.size > LARGEST_HEAD or call.value_size != call.size:
        return f"heads of {call.size} and {call.value_size} are not supported"
    return None


def _behind(window: int | None, rows: Rows) -> int:
    """How many keys before its own position a query sees; -1 means all."""
    return -1 if window is None or window >= rows.longest_k else window - 1

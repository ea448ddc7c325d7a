"""Variable-length attention kernels, written from their documentation; the real ones need a GPU.

Their arguments are those of flash-attn 2.8 and of torch 2.13. Imports none of the code that it
tests.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def documented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts_q: Tensor,
    starts_k: Tensor,
    *,
    longest: tuple[int, int],
    scale: float,
    window: tuple[int, int],
    cap: float = 0.0,
    bottom_right: bool = True,
) -> Tensor:
    """Query i of a sequence sees keys from i + n_k - n_q - window[0] to i + n_k - n_q + window[1],
    both included; -1 means no limit on that side.
    """
    assert starts_q.dtype == starts_k.dtype == torch.int32
    assert (starts_q[-1], starts_k[-1]) == (len(query), len(key))
    assert longest == (int(starts_q.diff().max()), int(starts_k.diff().max()))
    repeats = query.shape[1] // key.shape[1]
    outputs = []
    for (q0, q1), (k0, k1) in zip(
        pairwise(starts_q.tolist()), pairwise(starts_k.tolist()), strict=True
    ):
        keys, values = (x[k0:k1].repeat_interleave(repeats, dim=1) for x in (key, value))
        scores = torch.einsum("qhd,khd->hqk", query[q0:q1], keys) * scale
        if cap:
            scores = cap * torch.tanh(scores / cap)
        ahead = (k1 - k0) - (q1 - q0) if bottom_right else 0
        place_q = torch.arange(q1 - q0)[:, None] + ahead
        place_k = torch.arange(k1 - k0)
        seen = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool)
        if window[0] >= 0:
            seen &= place_k >= place_q - window[0]
        if window[1] >= 0:
            seen &= place_k <= place_q + window[1]
        shares = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", shares, values))
    return torch.cat(outputs)


def flash_attn_varlen_func(  # noqa: PLR0917  flash-attn's order
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Tensor | None = None,
) -> Tensor:
    """flash-attn's: `causal` sets the window's right end to 0; groups follow from the shapes."""
    assert softmax_scale is not None
    assert dropout_p == 0
    assert return_attn_probs is False
    assert alibi_slopes is block_table is None
    assert isinstance(deterministic, bool)
    window = (window_size[0], 0) if causal else window_size
    return documented(
        q, k, v, cu_seqlens_q, cu_seqlens_k, longest=(max_seqlen_q, max_seqlen_k),
        scale=softmax_scale, window=window, cap=softcap,
    )  # fmt: skip


def varlen_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: Any = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> Tensor:
    """torch's: groups must be enabled by an argument."""
    assert scale is not None
    assert return_aux is seqused_k is block_table is num_splits is None
    assert enable_gqa or query.shape[1] == key.shape[1]
    return documented(
        query, key, value, cu_seq_q, cu_seq_k, longest=(max_q, max_k), scale=scale,
        window=window_size,
    )  # fmt: skip

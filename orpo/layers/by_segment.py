"""Packed attention segment by segment: the fastest way on a CPU, and the fallback for every call.

A CPU uses `causal.py`, other devices SDPA; capped scores use `dense`. Knows no model.

Shapes: 1 the packed batch, H query heads, G key/value heads, T packed tokens, B those of a block
(segments on one prefix), Q queries, K keys, D head size.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from orpo.layers.causal import Causal
from orpo.layers.layout import Layout
from orpo.tokens.pack import Segment


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
    outputs = []
    for block, *qkv in _blocks(layout.segments, query_1HTD, key_1GTD, value_1GTD):
        for segment in block:
            query, key, value = _visible(segment, *qkv)
            if value.device.type == "cpu" and softcap is None:
                output = Causal.apply(query, key, value, scaling, window)
            else:
                sizes = (query.shape[2], key.shape[2])
                mask_QK = layout.once(_mask_QK, *sizes, window, query.device)
                output = _attention(query, key, value, mask_QK, scaling, softcap)
            outputs.append(output.transpose(1, 2))
    return torch.cat(outputs, dim=1)


def _mask_QK(
    _segments: Sequence[Segment],
    n_queries: int,
    n_keys: int,
    window: int | None,
    device: torch.device,
) -> Tensor | None:
    """Causal mask whose last query sees all keys; None where `is_causal` has the same effect."""
    if window is not None and window >= n_keys:
        window = None
    if n_queries == n_keys and window is None:
        return None
    place_K = torch.arange(n_keys, device=device)
    distance_QK = place_K[-n_queries:, None] - place_K
    return (distance_QK >= 0) & (distance_QK < (window or n_keys))


def _blocks(
    segments: Sequence[Segment], *qkv: Tensor
) -> Iterator[tuple[list[Segment], Tensor, Tensor, Tensor]]:
    """Segments that share a prefix, with their part of queries, keys and values.

    Uses `split`, not one slice at a time: the gradient of a slice is as long as the whole packed
    row.
    """
    blocks = [list(group) for _, group in groupby(segments, lambda segment: segment.prefix_start)]
    sizes = [block[-1].tail_end - block[0].prefix_start for block in blocks]
    return zip(blocks, *(tensor.split(sizes, dim=2) for tensor in qkv), strict=True)


def _visible(
    segment: Segment, query_1HBD: Tensor, key_1GBD: Tensor, value_1GBD: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A segment's queries, and the keys and values that it sees, out of its block of B tokens."""
    prefix = segment.prefix_end - segment.prefix_start
    start, end = segment.tail_start - segment.prefix_start, segment.tail_end - segment.prefix_start
    if segment.contiguous:
        return query_1HBD[:, :, :end], key_1GBD[:, :, :end], value_1GBD[:, :, :end]
    key, value = (
        torch.cat((x[:, :, :prefix], x[:, :, start:end]), dim=2) for x in (key_1GBD, value_1GBD)
    )
    return query_1HBD[:, :, start:end], key, value


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask_QK: Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """One segment's attention on a GPU, or with capped scores; causal if no mask is given."""
    if softcap is not None:
        return dense(query, key, value, mask_QK, scaling, softcap)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask_QK,
        is_causal=mask_QK is None and query.shape[2] > 1,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def dense(
    query_1HQD: Tensor,
    key_1GKD: Tensor,
    value_1GKD: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Attention with all scores in memory, [1, H, Q, D]; causal where no mask is given.

    Heads that share keys are concatenated, so the keys are never repeated.
    """
    batch, heads, queries, size = query_1HQD.shape
    groups, keys = key_1GKD.shape[1:3]
    scaled = query_1HQD * (size**-0.5 if scaling is None else scaling)
    scores = scaled.reshape(batch, groups, -1, size) @ key_1GKD.transpose(2, 3)
    scores = scores.view(batch, heads, queries, keys)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and queries > 1:
        mask = scores.new_ones(queries, keys, dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    shares = scores.softmax(dim=-1).view(batch, groups, -1, keys)
    return (shares @ value_1GKD).view(batch, heads, queries, value_1GKD.shape[3])

"""Causal attention of one sequence on a CPU, in blocks of queries that skip the keys they can't
see.

Keeps inputs, output and one number per query and head; the backward pass recomputes the attention
weights (as in arXiv 2205.14135). SDPA's own backward pass takes several times as long on a CPU, and
all scores at once would fill the memory.

Shapes: H query heads, G key/value heads, R = H / G, Q queries, K keys, D head size, B queries of a
block, M = R * B, S = the keys that a block sees.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from orpo.layers.kernels import wide
from orpo.layers.native import native

ROWS = 128


@native
def shares(scores: Tensor, whole: Tensor, scaling: float, rows: int, window: int) -> None:
    """Turn scores into their softmax in place, zero where hidden; put log sum exp into `whole`.

    Shapes: scores [G, M, S], whole [G, M]. The last of a block's `rows` queries sees all keys, the
    one before it all but the last; each sees at most `window` keys.
    """
    shown = _hide(wide(scores).mul_(scaling), rows, window)
    most = shown.amax(-1)
    share = shown.softmax(-1)
    torch.sub(most, share.amax(-1).log_(), out=whole)  # cheaper than another sum
    scores.copy_(share)


@native
def shares_back(
    scores: Tensor,
    slopes: Tensor,
    whole: Tensor,  # noqa: ARG001  in torch another softmax takes less time than exp(scores - whole)
    along: Tensor,
    scaling: float,
    rows: int,
    window: int,
) -> None:
    """Turn scores into their softmax, and the gradient of that into theirs, both in place.

    Shapes: as in `shares`; slopes [G, M, S], along [G, M].
    """
    share = _hide(wide(scores).mul_(scaling), rows, window).softmax(-1)
    scores.copy_(share)
    slopes.copy_(share.mul_(slopes - along[..., None]).mul_(scaling))


def _hide(shown_GMS: Tensor, rows: int, window: int) -> Tensor:
    """Put -inf where queries don't see a key; all before the triangle is seen but for a window."""
    size = shown_GMS.shape[-1]
    edge = max(0, size - rows) if window >= size else 0
    distance_BS = torch.arange(size - rows, size)[:, None] - torch.arange(edge, size)
    hidden_BS = (distance_BS < 0) | (distance_BS >= window)
    shown_GMS.unflatten(1, (-1, rows))[..., edge:].masked_fill_(hidden_BS, float("-inf"))
    return shown_GMS


class Block:
    """The queries `rows`, the keys `seen`, and the place of its numbers in a row of all blocks."""

    def __init__(self, start: int, n_queries: int, n_keys: int, window: int) -> None:
        end = min(start + ROWS, n_queries)
        ahead = n_keys - n_queries  # the last query sees all keys
        self.rows, self.n_rows = slice(start, end), end - start
        self.seen = slice(max(0, ahead + start + 1 - window), ahead + end)

    def queries(self, tensor_GRQD: Tensor) -> Tensor:
        """This block's part, with the heads that share keys concatenated, [G, M, D]."""
        return tensor_GRQD[:, :, self.rows].flatten(1, 2)

    def numbers(self, all_N: Tensor, groups: int, repeats: int) -> Tensor:
        """This block's numbers out of those of all blocks, N = G * R * Q, as [G, M]."""
        heads = groups * repeats
        return all_N[self.rows.start * heads : self.rows.stop * heads].view(groups, -1)


class Causal(torch.autograd.Function):
    """softmax(query @ key.T * scaling) @ value, [1, H, Q, D]; the last query sees all keys."""

    @staticmethod
    def forward(
        ctx: Any,
        query_1HQD: Tensor,
        key_1GKD: Tensor,
        value_1GKD: Tensor,
        scaling: float,
        window: int | None,
    ) -> Tensor:
        key_GKD, value_GKD = key_1GKD[0], value_1GKD[0]
        query_GRQD = query_1HQD[0].unflatten(0, (len(key_GKD), -1))
        groups, repeats, n_queries, _ = query_GRQD.shape
        # In memory as [Q, H, D], the order that the model goes on with.
        out_QHD = query_GRQD.new_empty(n_queries, groups * repeats, value_GKD.shape[2])
        out_GRQD = out_QHD.transpose(0, 1).unflatten(0, (groups, repeats))
        whole_N = wide(query_GRQD.new_empty(0)).new_empty(groups * repeats * n_queries)
        limit = window or key_GKD.shape[1]
        for block in blocks(n_queries, key_GKD.shape[1], limit):
            share_GMS = block.queries(query_GRQD) @ key_GKD[:, block.seen].transpose(1, 2)
            whole_GM = block.numbers(whole_N, groups, repeats)
            shares(share_GMS, whole_GM, scaling, block.n_rows, limit)
            part_GMD = share_GMS @ value_GKD[:, block.seen]
            out_GRQD[:, :, block.rows] = part_GMD.unflatten(1, (repeats, -1))
        ctx.save_for_backward(query_GRQD, key_GKD, value_GKD, out_GRQD, whole_N)
        ctx.scaling, ctx.limit = scaling, limit
        return out_QHD.transpose(0, 1)[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_1HQD: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query_GRQD, key_GKD, value_GKD, out_GRQD, whole_N = ctx.saved_tensors
        groups, repeats, n_queries, size = query_GRQD.shape
        grad_GRQD = grad_1HQD[0].unflatten(0, (groups, repeats))
        along_GRQ = (grad_GRQD * out_GRQD).sum(-1, dtype=whole_N.dtype)
        of_query_QHD = query_GRQD.new_empty(n_queries, groups * repeats, size)
        of_query_GRQD = of_query_QHD.transpose(0, 1).unflatten(0, (groups, repeats))
        of_key = torch.zeros_like(key_GKD, dtype=whole_N.dtype)
        of_value = torch.zeros_like(value_GKD, dtype=whole_N.dtype)
        for block in blocks(n_queries, key_GKD.shape[1], ctx.limit):
            grad_GMD, query_GMD = block.queries(grad_GRQD), block.queries(query_GRQD)
            key_GSD, value_GSD = key_GKD[:, block.seen], value_GKD[:, block.seen]
            share_GMS = query_GMD @ key_GSD.transpose(1, 2)
            slope_GMS = grad_GMD @ value_GSD.transpose(1, 2)
            whole_GM = block.numbers(whole_N, groups, repeats)
            along_GM = along_GRQ[:, :, block.rows].flatten(1)
            shares_back(
                share_GMS, slope_GMS, whole_GM, along_GM, ctx.scaling, block.n_rows, ctx.limit
            )
            of_value[:, block.seen] += share_GMS.transpose(1, 2) @ grad_GMD
            of_key[:, block.seen] += slope_GMS.transpose(1, 2) @ query_GMD
            part_GMD = slope_GMS @ key_GSD
            of_query_GRQD[:, :, block.rows] = part_GMD.unflatten(1, (repeats, -1))
        return (
            of_query_QHD.transpose(0, 1)[None],
            of_key[None].to(key_GKD.dtype),
            of_value[None].to(value_GKD.dtype),
            None,
            None,
        )


def blocks(n_queries: int, n_keys: int, window: int) -> list[Block]:
    """All blocks of a sequence, in order."""
    return [Block(start, n_queries, n_keys, window) for start in range(0, n_queries, ROWS)]

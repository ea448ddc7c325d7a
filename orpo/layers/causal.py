"""Causal attention of one sequence on a CPU, in blocks of queries that skip the keys they can't
see.

Keeps inputs and output only; the backward pass recomputes the attention weights (as in arXiv
2205.14135). SDPA's own backward pass takes several times as long on a CPU, and all scores at once
would fill the memory.

Shapes: H query heads, G key/value heads, R = H / G, Q queries, K keys, D head size, M = R * rows of
a block, S = the keys that a block sees.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 128


class Block:
    """The queries `rows`, the keys `seen`, and which of these pairs lie outside the triangle.

    All pairs before the key `edge` of those seen lie inside.
    """

    def __init__(self, start: int, n_queries: int, n_keys: int, window: int | None) -> None:
        end = min(start + ROWS, n_queries)
        ahead = n_keys - n_queries  # the last query sees all keys
        first = max(0, ahead + start + 1 - window) if window else 0
        self.rows, self.seen = slice(start, end), slice(first, ahead + end)
        place_S = torch.arange(first, ahead + end)
        distance_RS = torch.arange(ahead + start, ahead + end)[:, None] - place_S
        self.hidden_RS = (distance_RS < 0) | (distance_RS >= (window or n_keys + 1))
        self.edge = 0 if window else max(0, len(place_S) - ROWS)

    def shares(self, query_GRQD: Tensor, key_GKD: Tensor, scaling: float) -> Tensor:
        """softmax of the scaled scores in fp32, zero where hidden, [G, R, rows, S]."""
        scores = self.queries(query_GRQD) @ key_GKD[:, self.seen].transpose(1, 2)
        shape = (*query_GRQD.shape[:2], *self.hidden_RS.shape)
        wide = scores.view(shape).to(torch.promote_types(scores.dtype, torch.float32), copy=True)
        wide.mul_(scaling)
        wide[..., self.edge :].masked_fill_(self.hidden_RS[:, self.edge :], float("-inf"))
        return wide.softmax(-1)

    def queries(self, tensor_GRQD: Tensor) -> Tensor:
        """This block's part, with the heads that share keys concatenated, [G, M, D]."""
        groups, _, _, size = tensor_GRQD.shape
        return tensor_GRQD[:, :, self.rows].reshape(groups, -1, size)


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
        out_GRQD = query_GRQD.new_empty(groups, repeats, n_queries, value_GKD.shape[2])
        for block in blocks(n_queries, key_GKD.shape[1], window):
            share = block.shares(query_GRQD, key_GKD, scaling).to(value_GKD.dtype)
            part = share.view(groups, -1, share.shape[-1]) @ value_GKD[:, block.seen]
            out_GRQD[:, :, block.rows] = part.view(groups, repeats, -1, part.shape[-1])
        ctx.save_for_backward(query_GRQD, key_GKD, value_GKD, out_GRQD)
        ctx.scaling, ctx.window = scaling, window
        return out_GRQD.view(1, groups * repeats, n_queries, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_1HQD: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query_GRQD, key_GKD, value_GKD, out_GRQD = ctx.saved_tensors
        wide = torch.promote_types(query_GRQD.dtype, torch.float32)
        groups, repeats, n_queries, _ = query_GRQD.shape
        grad_GRQD = grad_1HQD.reshape(out_GRQD.shape)
        along_GRQ = (grad_GRQD * out_GRQD).sum(-1, dtype=wide)
        of_query = torch.empty_like(query_GRQD)
        of_key = torch.zeros_like(key_GKD, dtype=wide)
        of_value = torch.zeros_like(value_GKD, dtype=wide)
        for block in blocks(n_queries, key_GKD.shape[1], ctx.window):
            share = block.shares(query_GRQD, key_GKD, ctx.scaling)
            grad, query = block.queries(grad_GRQD), block.queries(query_GRQD)
            flat = share.view(groups, -1, share.shape[-1])
            of_value[:, block.seen] += flat.to(grad.dtype).transpose(1, 2) @ grad
            slope = (grad @ value_GKD[:, block.seen].transpose(1, 2)).view(share.shape)
            slope = share.mul_(slope - along_GRQ[:, :, block.rows, None]).mul_(ctx.scaling)
            slope = slope.view(flat.shape).to(query.dtype)
            part = slope @ key_GKD[:, block.seen]
            of_query[:, :, block.rows] = part.view(groups, repeats, -1, part.shape[-1])
            of_key[:, block.seen] += slope.transpose(1, 2) @ query
        of_query = of_query.view(1, groups * repeats, n_queries, -1)
        return (
            of_query,
            of_key[None].to(key_GKD.dtype),
            of_value[None].to(value_GKD.dtype),
            None,
            None,
        )


def blocks(n_queries: int, n_keys: int, window: int | None) -> list[Block]:
    """All blocks of a sequence, in order."""
    return [Block(start, n_queries, n_keys, window) for start in range(0, n_queries, ROWS)]

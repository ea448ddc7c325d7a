"""Blocked attention: SDPA's values, exact gradients, and no memory that grows quadratically."""

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional

from orpo.layers import causal
from orpo.layers.causal import Causal

SHAPES = [(7, 7, None), (5, 12, None), (1, 9, None), (7, 7, 3), (5, 12, 4), (4, 4, 1), (6, 8, 99)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(causal, "ROWS", 3)


def inputs(n_queries: int, n_keys: int, dtype: torch.dtype = torch.float64) -> list[Any]:
    """Random inputs with four query heads and two key heads."""
    shapes = ((1, 4, n_queries, 5), (1, 2, n_keys, 5), (1, 2, n_keys, 5))
    return [torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(("n_queries", "n_keys", "window"), SHAPES)
def test_it_is_attention(n_queries: int, n_keys: int, window: int | None):
    query, key, value = inputs(n_queries, n_keys)
    distance = torch.arange(n_keys)[-n_queries:, None] - torch.arange(n_keys)
    mask = (distance >= 0) & (distance < (window or n_keys))
    expected = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    assert torch.allclose(Causal.apply(query, key, value, 0.3, window), expected)
    assert gradcheck(
        lambda *given: Causal.apply(*given, 0.3, window), (query, key, value), fast_mode=False
    )


def test_inputs_as_models_make_them():
    """Heads are split off the last dimension: inputs are not contiguous, in bf16."""
    query = torch.randn(1, 9, 4, 8).bfloat16().transpose(1, 2).requires_grad_()
    key, value = (torch.randn(1, 9, 2, 8).bfloat16().transpose(1, 2) for _ in range(2))
    out = Causal.apply(query, key, value, 8**-0.5, None)
    expected = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )
    assert out.dtype == torch.bfloat16
    assert (out - expected).float().norm() < 2e-2 * expected.float().norm()
    out.sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()

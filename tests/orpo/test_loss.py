"""The objective's functions: values by hand, gradients at the limits, sums in any order."""

import math

import pytest
import torch
from torch import Tensor

from orpo.contract.methods import parse_method
from orpo.loss.loss import (
    Counts,
    counts,
    log1mexp,
    log_odds,
    log_odds_ratio,
    objective,
    pair_numbers,
)
from orpo.tokens.pack import collate
from tests.orpo import tiny_models

EDGES = [0.0, -1e-12, -1e-8, -1e-3, -math.log(2), -1.0, -40.0, -700.0]


def gradient(x: Tensor) -> Tensor:
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("logp", EDGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_odds_and_their_gradient_are_finite(logp: float, dtype: torch.dtype):
    x = torch.tensor(logp, dtype=dtype, requires_grad=True)
    log_odds(x).backward()
    assert log_odds(x).isfinite()
    assert gradient(x).isfinite()


@pytest.mark.parametrize("logp", [-1e-6, -1e-3, -0.3, -0.69, -0.7, -5.0, -700.0])
def test_odds_are_exact(logp: float):
    x = torch.tensor(logp, dtype=torch.float64, requires_grad=True)
    odds = log_odds(x)
    odds.backward()
    assert odds.item() == pytest.approx(logp - math.log(-math.expm1(logp)), rel=1e-12)
    assert gradient(x).item() == pytest.approx(-1 / math.expm1(logp), rel=1e-12)  # 1 / (1 - p)


def test_log1mexp_gradient_beside_the_other_branch():
    x = torch.tensor([-1e-30, -1e3], dtype=torch.float64, requires_grad=True)
    log1mexp(x).sum().backward()
    assert gradient(x).isfinite().all()


@pytest.mark.parametrize("chosen", EDGES)
@pytest.mark.parametrize("rejected", EDGES)
def test_the_odds_ratio_loss_is_finite(chosen: float, rejected: float):
    logps = torch.tensor([chosen, rejected], requires_grad=True)
    ratio = log_odds_ratio(logps[:1], logps[1:])
    loss = -torch.nn.functional.logsigmoid(ratio).sum()
    loss.backward()
    assert loss.isfinite()
    assert gradient(logps).isfinite().all()


def test_the_odds_ratio_is_not_the_probability_ratio():
    chosen, rejected = torch.tensor([-0.2]), torch.tensor([-1.5])
    p, q = math.exp(-0.2), math.exp(-1.5)
    expected = math.log(p / (1 - p)) - math.log(q / (1 - q))
    assert log_odds_ratio(chosen, rejected).item() == pytest.approx(expected, rel=1e-6)
    assert abs(expected - (-0.2 + 1.5)) > 0.5


def test_a_pair_by_hand():
    """Two pairs with constant log-probs per side, so that every number can be computed by hand."""
    examples = tiny_models.examples(seed=1, n=2)
    batch = collate(examples, prefix_sharing=True)
    by_side = torch.tensor([-1.0, -2.0, -0.5, -3.0])
    logps = by_side[batch.sequence_L]
    method = parse_method("orpo", {"lambda": 0.25})
    total = counts([batch], method)
    outcome = objective(logps, batch, method, total)

    n = [int((batch.in_nll_L & (batch.sequence_L == 2 * pair)).sum()) for pair in (0, 1)]
    odds = [x - math.log(1 - math.exp(x)) for x in by_side.tolist()]
    ratios = [odds[0] - odds[1], odds[2] - odds[3]]
    nll = (1.0 * n[0] + 0.5 * n[1]) / sum(n)
    loss_or = [math.log1p(math.exp(-ratio)) for ratio in ratios]
    assert total == Counts(sum(n), 2)
    assert outcome.loss.item() == pytest.approx(nll + 0.25 * sum(loss_or) / 2, rel=1e-6)
    numbers = outcome.numbers
    assert numbers.log_odds_ratio.tolist() == pytest.approx(ratios, rel=1e-6)
    assert numbers.logps_rejected.tolist() == pytest.approx([-2.0, -3.0])
    assert not numbers.nll_sum.requires_grad


def test_sequence_reduction_is_a_mean_of_means():
    batch = collate(tiny_models.examples(seed=2, n=3), prefix_sharing=True)
    method = parse_method("supervised", {"nll_reduction": "sequence"})
    logps = -torch.rand(len(batch.target_L))
    each = [
        -logps[batch.in_nll_L & (batch.sequence_L == 2 * pair)].mean().item() for pair in range(3)
    ]
    loss = objective(logps, batch, method, counts([batch], method)).loss
    assert loss.item() == pytest.approx(sum(each) / 3, rel=1e-6)


def test_single_answers_have_no_odds_and_refuse_orpo():
    batch = collate(tiny_models.examples(seed=3, n=2), prefix_sharing=True, rejected=False)
    logps = -torch.rand(len(batch.target_L))
    plain = pair_numbers(logps, batch, parse_method("supervised", {}))
    assert plain.log_odds_ratio.isnan().all()
    with pytest.raises(ValueError, match="rejected"):
        objective(logps, batch, parse_method("orpo", {}), Counts(1, 1))

"""Rewards, advantages and clipped losses against loops in Python floats that follow the papers."""

import math
import random
import statistics

import pytest
import torch
from torch import Tensor

from orpo.loss import clipped, returns

SIZES = (1, 4, 7)  # tokens of each answer


def table(seed: int) -> tuple[list[list[float]], Tensor, Tensor]:
    """Numbers for the tokens of each answer, as lists and padded with noise, and their mask."""
    rng = random.Random(seed)
    rows = [[rng.gauss(0, 2) for _ in range(size)] for size in SIZES]
    padded_pn = torch.full((len(SIZES), max(SIZES)), 1e6, dtype=torch.float64)
    mask_pn = torch.zeros(len(SIZES), max(SIZES), dtype=torch.bool)
    for at, row in enumerate(rows):
        padded_pn[at, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask_pn[at, : len(row)] = True
    return rows, padded_pn, mask_pn


def test_a_token_is_rewarded_for_the_reference_and_the_last_one_for_the_answer() -> None:
    logps, logps_pn, mask_pn = table(1)
    reference, reference_pn, _ = table(2)
    scores = [3.0, -1.0, 0.5]
    found_pn = returns.token_rewards(
        torch.tensor(scores, dtype=torch.float64), logps_pn, reference_pn, mask_pn, kl_weight=0.3
    )
    for at, (of_policy, of_base) in enumerate(zip(logps, reference, strict=True)):
        expected = [0.3 * (b - p) for p, b in zip(of_policy, of_base, strict=True)]
        expected[-1] += scores[at]
        assert found_pn[at, : SIZES[at]].tolist() == pytest.approx(expected, abs=1e-12)
        assert not found_pn[at, SIZES[at] :].any()
    kl_p = returns.kl_of_answers(logps_pn, reference_pn, mask_pn)
    sums = [sum(p) - sum(b) for p, b in zip(logps, reference, strict=True)]
    assert kl_p.tolist() == pytest.approx(sums)


@pytest.mark.parametrize(("gamma", "lambda_"), [(0.99, 0.95), (1, 1), (0.9, 0), (0, 0.5)])
def test_advantages_are_sums_of_discounted_errors(gamma: float, lambda_: float) -> None:
    rewards, rewards_pn, mask_pn = table(3)
    values, values_pn, _ = table(4)
    found_pn = returns.advantages(rewards_pn * mask_pn, values_pn, mask_pn, gamma, lambda_)
    for at, (r, v) in enumerate(zip(rewards, values, strict=True)):
        later = [*v, 0.0]
        errors = [r[t] + gamma * later[t + 1] - v[t] for t in range(len(r))]
        expected = [
            sum((gamma * lambda_) ** k * error for k, error in enumerate(errors[t:]))
            for t in range(len(r))
        ]
        assert found_pn[at, : len(r)].tolist() == pytest.approx(expected, rel=1e-12)
        assert not found_pn[at, len(r) :].any()


def test_without_discount_an_advantage_is_what_follows_minus_the_value() -> None:
    rewards, rewards_pn, mask_pn = table(3)
    values, values_pn, _ = table(4)
    found_pn = returns.advantages(rewards_pn * mask_pn, values_pn, mask_pn, 1, 1)
    for at, (r, v) in enumerate(zip(rewards, values, strict=True)):
        assert found_pn[at, 0] == pytest.approx(sum(r) - v[0])


def test_whitened_tokens_have_mean_0_and_variance_1() -> None:
    rows, rows_pn, mask_pn = table(5)
    found_pn = returns.whiten(rows_pn, mask_pn)
    tokens = [value for row in rows for value in row]
    mean, sd = statistics.fmean(tokens), statistics.pstdev(tokens)
    expected = [(value - mean) / sd for value in tokens]
    assert found_pn[mask_pn].tolist() == pytest.approx(expected, rel=1e-6)
    assert not found_pn[~mask_pn].any()


def test_equal_scores_become_zeros() -> None:
    assert returns.normalise(torch.full((3,), 7.0, dtype=torch.float64)).tolist() == [0, 0, 0]
    scores_p = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    sd = statistics.pstdev(scores_p.tolist())
    expected = [(score - 3) / sd for score in scores_p.tolist()]
    assert returns.normalise(scores_p).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kl", "change"),
    [(6.0, 0), (6.6, 0.1), (60.0, 0.2), (3.0, -0.2), (-5.0, -0.2), (5.4, -0.1)],
)
def test_the_penalty_follows_its_target(kl: float, change: float) -> None:
    found = returns.next_kl_weight(0.1, kl, n_answers=64, target=6, horizon=2000)
    assert found == pytest.approx(0.1 * (1 + change * 64 / 2000))


def test_an_answer_is_compared_with_the_others_to_its_prompt() -> None:
    rewards_p = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0], dtype=torch.float64)
    expected = [1 - 4, 2 - 3.5, 6 - 1.5, -1.5, -1.5, 3]
    assert returns.leave_one_out(rewards_p, 3).tolist() == pytest.approx(expected)


def test_a_policy_gains_nothing_beyond_the_clip() -> None:
    ratios = [0.5, 0.5, 0.9, 1.0, 1.1, 1.5, 1.5]
    advantages = [1.0, -1.0, -2.0, 3.0, -1.0, 2.0, -2.0]
    old_l = torch.linspace(-3, -1, len(ratios), dtype=torch.float64)
    logps_l = old_l + torch.tensor(ratios, dtype=torch.float64).log()
    logps_l.requires_grad_()
    found = clipped.policy_terms(
        logps_l, old_l, torch.tensor(advantages, dtype=torch.float64), clip=0.2
    )
    bounded = [min(max(ratio, 0.8), 1.2) for ratio in ratios]
    expected = [-min(r * a, b * a) for r, a, b in zip(ratios, advantages, bounded, strict=True)]
    assert found.loss_L.tolist() == pytest.approx(expected)
    assert found.clipped_L.tolist() == [0, 1, 0, 0, 0, 1, 0]
    found.loss_L.sum().backward()
    slopes = [
        0 if is_clipped else -r * a
        for r, a, is_clipped in zip(ratios, advantages, found.clipped_L.tolist(), strict=True)
    ]
    assert logps_l.grad is not None
    assert logps_l.grad.tolist() == pytest.approx(slopes)


def test_a_value_is_judged_where_it_is_or_where_it_may_be() -> None:
    values, old, targets = [0.0, 1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, -2.0, -0.1]
    found = clipped.value_terms(
        *(torch.tensor(each, dtype=torch.float64) for each in (values, old, targets)), clip=0.2
    )
    expected = [
        0.5 * max((v - t) ** 2, (min(max(v, o - 0.2), o + 0.2) - t) ** 2)
        for v, o, t in zip(values, old, targets, strict=True)
    ]
    assert found.loss_L.tolist() == pytest.approx(expected)
    assert found.clipped_L.tolist() == [0, 1, 0, 0]


def test_the_entropy_of_drawn_tokens_is_that_of_their_distribution() -> None:
    chances = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    drawn = torch.tensor([0] * 4 + [1] * 2 + [2, 3])  # in these shares
    exact = -sum(p * math.log(p) for p in chances.tolist())
    assert float(clipped.entropy(chances.log()[drawn])) == pytest.approx(exact)

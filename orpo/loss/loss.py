"""From per-token log-probabilities to the numbers of each pair, and to the loss of a batch.

Knows no model; of the layout it knows only which sequence owns a token. Numerators are sums; the
two denominators (likelihood tokens, pairs) are counted over the whole optimizer step and all ranks
and passed in, so loss and gradients do not depend on how a step was cut into micro-batches.

Shapes: L labelled tokens, B pairs, S = 2B sequences (chosen of pair b at 2b, rejected at 2b + 1).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from orpo.contract.hyperparameters import Hyperparameters, NllReduction
from orpo.contract.methods import Method, Preference
from orpo.contract.numbers import PairNumbers
from orpo.tokens.pack import Batch

# p(y|x) is kept below 1 - 1e-7, the resolution of fp32 near 1: above it the odds are not finite.
MAX_LOGP = -1e-7


@dataclass(frozen=True)
class Counts:
    """The global denominators: `nll` in tokens (or chosen sequences), `pairs` in pairs."""

    nll: float
    pairs: float

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.nll + other.nll, self.pairs + other.pairs)


def counts(batches: Iterable[Batch], method: Hyperparameters) -> Counts:
    """The denominators that these batches contribute; add those of all ranks before use."""
    total = Counts(0, 0)
    for batch in batches:
        by_token = method.nll_reduction is NllReduction.TOKEN
        nll = int(batch.in_nll_L.sum()) if by_token else batch.n_pairs
        total += Counts(nll, batch.n_pairs)
    return total


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, with finite gradients on both branches.

    Each branch gets a harmless input where the other is used: `where` alone would propagate the NaN
    gradient of the unused branch.
    """
    near_zero = x > -math.log(2)
    near = torch.where(near_zero, x, torch.full_like(x, -math.log(2)))
    far = torch.where(near_zero, torch.full_like(x, -math.log(2)), x)
    return torch.where(near_zero, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) of a length-averaged log-prob, in fp64 (paper, equation 4).

    Exact for logp < -1e-7; from -1e-7 to 0, value and (zero) gradient are finite.
    """
    logp = logp.double().clamp(max=MAX_LOGP)
    return logp - log1mexp(logp)


def sum_by(values_L: Tensor, owner_L: Tensor, size: int) -> Tensor:
    """Sums of `values_L` by owner, in fp64: the order of tokens then changes no fp32 digit."""
    return values_L.new_zeros(size, dtype=torch.float64).index_add(0, owner_L, values_L.double())


def sum_logps(logps_L: Tensor, batch: Batch) -> Tensor:
    """log P(y|x) over response tokens, [S]."""
    return sum_by(logps_L * batch.in_answer_L, batch.sequence_L, 2 * batch.n_pairs)


def mean_logps(logps_L: Tensor, batch: Batch) -> Tensor:
    """Length-averaged log P(y|x) over response tokens, [S] (paper, section 4.1)."""
    n_S = sum_by(batch.in_answer_L, batch.sequence_L, 2 * batch.n_pairs)
    return sum_logps(logps_L, batch) / n_S.clamp(min=1)


def log_odds_ratio(logps_chosen_B: Tensor, logps_rejected_B: Tensor) -> Tensor:
    """log OR = log odds(chosen) - log odds(rejected), [B] (paper, equation 5)."""
    return log_odds(logps_chosen_B) - log_odds(logps_rejected_B)


def nll_by_pair(logps_L: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Summed negative log-likelihood of each chosen side and its number of tokens, both [B]."""
    nll_L = batch.in_nll_L
    pair_L = batch.sequence_L // 2
    return (
        sum_by(-logps_L * nll_L, pair_L, batch.n_pairs),
        sum_by(nll_L, pair_L, batch.n_pairs),
    )


def pair_numbers(logps_L: Tensor, batch: Batch, method: Method) -> PairNumbers:
    """Every per-pair quantity of the objective, differentiable if `logps_L` is."""
    nll_sum_B, nll_tokens_B = nll_by_pair(logps_L, batch)
    logps_S = mean_logps(logps_L, batch)
    chosen_B, rejected_B = logps_S[0::2], logps_S[1::2]
    absent_B = torch.full_like(chosen_B, math.nan, requires_grad=False)
    known = PairNumbers(nll_sum_B, nll_tokens_B, chosen_B, *[absent_B] * 8)
    if not batch.has_rejected:
        return known
    ratio_B = log_odds_ratio(chosen_B, rejected_B)
    loss_or_B = -F.logsigmoid(ratio_B)
    known = replace(known, logps_rejected=rejected_B, log_odds_ratio=ratio_B, loss_or=loss_or_B)
    if batch.reference_S is not None:
        gain_S = sum_logps(logps_L, batch) - batch.reference_S
        known = replace(known, gain_chosen=gain_S[0::2], gain_rejected=gain_S[1::2])
    if isinstance(method, Preference):
        known = replace(known, preference=method.preference(known))
    return known


def reward_numbers(rewards_S: Tensor, batch: Batch, method: Method) -> PairNumbers:
    """The quantities of a reward model's objective, differentiable if `rewards_S` is.

    Raises ValueError if the batch has no rejected answers.
    """
    if not batch.has_rejected or not isinstance(method, Preference):
        raise ValueError(f"{method.type} needs a rejected side in every pair.")
    rewards_S = rewards_S.double()
    chosen_B, rejected_B = rewards_S[0::2], rewards_S[1::2]
    absent_B = torch.full_like(chosen_B, math.nan, requires_grad=False)
    known = PairNumbers(*[absent_B] * 9, reward_chosen=chosen_B, reward_rejected=rejected_B)
    return replace(known, preference=method.preference(known))


@dataclass(frozen=True)
class Outcome:
    """A batch's share of the step's loss (a scalar with its graph), and the detached numbers of its
    pairs.
    """

    loss: Tensor
    numbers: PairNumbers


def objective(logps_L: Tensor, batch: Batch, method: Method, denominators: Counts) -> Outcome:
    """This batch's share of nll_weight * NLL(chosen) + mean preference term.

    `denominators` are those of the whole step (see `counts`). Raises ValueError if the method
    contrasts answers and the batch has no rejected ones. For ORPO these are equations 6 and 7 of
    arXiv 2403.07691.
    """
    if isinstance(method, Preference) and not batch.has_rejected:
        raise ValueError(f"{method.type} needs a rejected side in every pair.")
    return outcome(pair_numbers(logps_L, batch, method), method, denominators)


def outcome(numbers: PairNumbers, method: Method, denominators: Counts) -> Outcome:
    """The same from the numbers of a batch. A reward model has no likelihood term."""
    if method.scores:
        loss = numbers.preference.sum() / denominators.pairs
        return Outcome(loss, _detached(numbers))
    nll_B = numbers.nll_sum
    if method.nll_reduction is NllReduction.SEQUENCE:
        nll_B = nll_B / numbers.nll_tokens.clamp(min=1)
    loss = method.nll_weight * nll_B.sum() / denominators.nll
    if isinstance(method, Preference):
        loss = loss + numbers.preference.sum() / denominators.pairs
    return Outcome(loss, _detached(numbers))


def _detached(numbers: PairNumbers) -> PairNumbers:
    return PairNumbers(**{name: value.detach() for name, value in vars(numbers).items()})

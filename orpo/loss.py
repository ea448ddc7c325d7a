"""The objective of arXiv 2403.07691 as pure functions over per-token log-probabilities.

Knows no model and no layout beyond who owns a token. Numerators are sums; the two denominators
(likelihood tokens, pairs) are counted over the whole optimizer step and all ranks and passed in,
so loss and gradients do not depend on how a step was cut into micro-batches.

Shapes: L labelled tokens, B pairs, S = 2B sequences (chosen of pair b at 2b, rejected at 2b + 1).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from orpo.pack import Batch
from orpo.spec import Hyperparameters, NllReduction, Orpo

# p(y|x) is held below 1 - 1e-7, fp32's resolution there: beyond it the odds have no finite value.
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

    Each branch sees a harmless input where the other is taken: `where` alone would pass on the
    NaN of the branch not taken.
    """
    near_zero = x > -math.log(2)
    near = torch.where(near_zero, x, torch.full_like(x, -math.log(2)))
    far = torch.where(near_zero, torch.full_like(x, -math.log(2)), x)
    return torch.where(near_zero, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))


def log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) of a length-averaged log-prob, in fp64 (paper, equation 4).

    Any logp in [-inf, 0] below -1e-7 is exact; at and above it, value and (zero) gradient are
    finite.
    """
    logp = logp.double().clamp(max=MAX_LOGP)
    return logp - log1mexp(logp)


def sum_by(values_L: Tensor, owner_L: Tensor, size: int) -> Tensor:
    """Sums of `values_L` by owner, in fp64: the order of tokens then moves no fp32 digit."""
    return values_L.new_zeros(size, dtype=torch.float64).index_add(0, owner_L, values_L.double())


def mean_logps(logps_L: Tensor, batch: Batch) -> Tensor:
    """Length-averaged log P(y|x) over response tokens, [S] (paper, section 4.1)."""
    answer_L = batch.in_answer_L
    total_S = sum_by(logps_L * answer_L, batch.sequence_L, 2 * batch.n_pairs)
    n_S = sum_by(answer_L, batch.sequence_L, 2 * batch.n_pairs)
    return total_S / n_S.clamp(min=1)


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


@dataclass(frozen=True)
class PairNumbers:
    """What is known of each pair of a batch, [B] each; the last three are None without rejected.

    `nll_sum` in nats over `nll_tokens` tokens; log-probs are length-averaged.
    """

    nll_sum: Tensor
    nll_tokens: Tensor
    logps_chosen: Tensor
    logps_rejected: Tensor | None = None
    log_odds_ratio: Tensor | None = None
    loss_or: Tensor | None = None


def pair_numbers(logps_L: Tensor, batch: Batch) -> PairNumbers:
    """Every per-pair quantity of the objective, with gradients where `logps_L` has them."""
    nll_sum_B, nll_tokens_B = nll_by_pair(logps_L, batch)
    logps_S = mean_logps(logps_L, batch)
    chosen_B, rejected_B = logps_S[0::2], logps_S[1::2]
    if not batch.has_rejected:
        return PairNumbers(nll_sum_B, nll_tokens_B, chosen_B)
    log_or_B = log_odds_ratio(chosen_B, rejected_B)
    loss_or_B = -F.logsigmoid(log_or_B)
    return PairNumbers(nll_sum_B, nll_tokens_B, chosen_B, rejected_B, log_or_B, loss_or_B)


@dataclass(frozen=True)
class Outcome:
    """A batch's share of the step's loss (a scalar with its graph), and its detached numbers."""

    loss: Tensor
    numbers: PairNumbers


def objective(
    logps_L: Tensor, batch: Batch, method: Hyperparameters, denominators: Counts
) -> Outcome:
    """L = NLL(chosen) + lambda * mean(-log sigmoid(log OR)), this batch's share of it.

    `denominators` are those of the whole step (see `counts`). The supervised method is the first
    term alone. Source: arXiv 2403.07691, equations 6 and 7.
    """
    numbers = pair_numbers(logps_L, batch)
    nll_B = numbers.nll_sum
    if method.nll_reduction is NllReduction.SEQUENCE:
        nll_B = nll_B / numbers.nll_tokens.clamp(min=1)
    loss = nll_B.sum() / denominators.nll
    if isinstance(method, Orpo):
        if numbers.loss_or is None:
            raise ValueError("ORPO needs a rejected side in every pair.")
        loss = loss + method.lambda_ * numbers.loss_or.sum() / denominators.pairs
    return Outcome(loss, _detached(numbers))


def _detached(numbers: PairNumbers) -> PairNumbers:
    return PairNumbers(**{name: v.detach() for name, v in vars(numbers).items() if v is not None})

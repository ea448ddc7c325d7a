"""From the numbers of single pairs to the named series of the charts.

Knows the objective's terms; knows nothing of models, ranks or files.

Shapes: B pairs of a batch, P pairs of a step or an evaluation, K columns (see `COLUMNS`).
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from statistics import fmean

import torch
from torch import Tensor

from orpo.contract.hyperparameters import NllReduction
from orpo.contract.methods import Method, Orpo, Preference
from orpo.contract.numbers import QUANTILES, PairNumbers, Series, margin
from orpo.tokens.tokenize import Example

COLUMNS = tuple(field.name for field in fields(PairNumbers))
Z_95 = 1.959963984540054


def rows(numbers: PairNumbers) -> Tensor:
    """A batch's numbers as fp64 rows, [B, K]; NaN stands where there is no rejected side."""
    return torch.stack([getattr(numbers, name).detach().double() for name in COLUMNS], dim=1)


def summarise(rows_PK: Tensor, method: Method) -> dict[str, float]:
    """The series of one step or evaluation, under the names of the charts.

    The loss is computed again from the pairs' numbers, in fp64 and in their order, so it does not
    depend on how they were batched. Series that need a rejected side are left out if no pair has
    one.
    """
    column = columns(rows_PK)
    if method.scores:
        return _rewards(column)
    nll = column.nll_sum.sum() / column.nll_tokens.sum()
    if method.nll_reduction is NllReduction.SEQUENCE:
        nll = (column.nll_sum / column.nll_tokens.clamp(min=1)).mean()
    values: dict[str, float] = {
        Series.LOSS: method.nll_weight * float(nll),
        Series.LOSS_NLL: float(nll),
        Series.LOGPS_CHOSEN: float(column.logps_chosen.mean()),
    }
    paired_PK = rows_PK[~column.logps_rejected.isnan()]
    if isinstance(method, Preference):  # every row has a rejected side: a NaN is real
        paired_PK = rows_PK
        preference = float(column.preference.mean())
        loss = values[Series.LOSS] + preference
        values |= {Series.LOSS: loss, Series.LOSS_PREFERENCE: preference}
        if isinstance(method, Orpo):
            values[Series.OR_SHARE] = preference / loss if loss else 0.0
        if method.needs_reference:
            values |= _gains(column)
    return values | (_contrast(columns(paired_PK)) if len(paired_PK) else {})


def columns(rows_PK: Tensor) -> PairNumbers:
    """Rows of numbers as columns, [P] each."""
    return PairNumbers(*rows_PK.unbind(1))


def _gains(column: PairNumbers) -> dict[str, float]:
    """The policy's gains over its reference."""
    gains_P = column.gain_chosen - column.gain_rejected
    return {
        Series.GAIN_CHOSEN: float(column.gain_chosen.mean()),
        Series.GAIN_REJECTED: float(column.gain_rejected.mean()),
        Series.GAIN_ACCURACY: float((gains_P > 0).double().mean()),
    }


def _rewards(column: PairNumbers) -> dict[str, float]:
    """The series of a reward model."""
    margins_P = column.reward_chosen - column.reward_rejected
    return {
        Series.LOSS: float(column.preference.mean()),
        Series.LOSS_PREFERENCE: float(column.preference.mean()),
        Series.REWARD_CHOSEN: float(column.reward_chosen.mean()),
        Series.REWARD_REJECTED: float(column.reward_rejected.mean()),
        Series.REWARD_MARGIN: float(margins_P.mean()),
        **_preferred(margins_P),
    }


def _contrast(column: PairNumbers) -> dict[str, float]:
    """The series that compare the two sides."""
    return {
        Series.LOSS_OR: float(column.loss_or.mean()),
        Series.LOGPS_REJECTED: float(column.logps_rejected.mean()),
        Series.LOG_ODDS_RATIO: float(column.log_odds_ratio.mean()),
        **_preferred(column.log_odds_ratio),
    }


def _preferred(margins_P: Tensor) -> dict[str, float]:
    """How many chosen answers are preferred, and by how much."""
    right, n = int((margins_P > 0).sum()), len(margins_P)
    low, high = wilson(right, n)
    quantiles = torch.quantile(margins_P, torch.tensor(QUANTILES, dtype=margins_P.dtype))
    return {
        Series.ACCURACY: right / n,
        Series.ACCURACY_LOW: low,
        Series.ACCURACY_HIGH: high,
        **{margin(q): float(v) for q, v in zip(QUANTILES, quantiles, strict=True)},
    }


def lengths(examples: Sequence[Example]) -> dict[str, float]:
    """Mean lengths of a step's rows in tokens, and the share of rows that were truncated."""
    rejected = [len(e.rejected) for e in examples if e.rejected is not None]
    values: dict[str, float] = {
        Series.LENGTH_PROMPT: fmean(len(e.prefix) for e in examples),
        Series.LENGTH_CHOSEN: fmean(len(e.chosen) for e in examples),
        Series.TRUNCATED_SHARE: fmean(e.truncated for e in examples),
    }
    return values | ({Series.LENGTH_REJECTED: fmean(rejected)} if rejected else {})


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share `right / n` (Wilson 1927); n > 0."""
    share, z2 = right / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)

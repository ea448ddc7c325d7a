"""From the numbers of single pairs to the named series of the charts.

Knows the objective's terms; knows nothing of models, ranks or files.

Shapes: B pairs of a batch, P pairs of a step or an evaluation, K columns (see `COLUMNS`).
"""

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from orpo.contract.hyperparameters import NllReduction
from orpo.contract.methods import Method, Orpo, Preference
from orpo.loss.loss import PairNumbers
from orpo.tokens.tokenize import Example

COLUMNS = (
    "nll_sum", "nll_tokens", "logps_chosen", "logps_rejected", "log_odds_ratio", "loss_or",
    "gain_chosen", "gain_rejected", "preference",
)  # fmt: skip
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Z_95 = 1.959963984540054


def rows(numbers: PairNumbers) -> Tensor:
    """A batch's numbers as fp64 rows, [B, K]; NaN stands where there is no rejected side."""
    return torch.stack([getattr(numbers, name).detach().double() for name in COLUMNS], dim=1)


def summarise(rows_PK: Tensor, method: Method) -> dict[str, float]:
    """The series of one step or evaluation, under the names of the charts.

    The loss is computed anew from the pairs' numbers, in fp64 and in their order, so it does not
    depend on how they were batched. Series that need a rejected side are left out where none has.
    """
    column = dict(zip(COLUMNS, rows_PK.unbind(1), strict=True))
    nll = column["nll_sum"].sum() / column["nll_tokens"].sum()
    if method.nll_reduction is NllReduction.SEQUENCE:
        nll = (column["nll_sum"] / column["nll_tokens"].clamp(min=1)).mean()
    values = {
        "loss": method.nll_weight * float(nll),
        "loss/nll": float(nll),
        "logps/chosen": float(column["logps_chosen"].mean()),
    }
    paired_PK = rows_PK[~column["logps_rejected"].isnan()]
    if isinstance(method, Preference):  # its every row has a rejected side: a NaN here is a NaN
        paired_PK = rows_PK
        preference = float(column["preference"].mean())
        values["loss"] += preference
        values["loss/preference"] = preference
        if isinstance(method, Orpo):
            values["or_share"] = preference / values["loss"] if values["loss"] else 0.0
        if method.needs_reference:
            gains_P = column["gain_chosen"] - column["gain_rejected"]
            values["gain/chosen"] = float(column["gain_chosen"].mean())
            values["gain/rejected"] = float(column["gain_rejected"].mean())
            values["gain/accuracy"] = float((gains_P > 0).double().mean())
    return values | (_contrast(paired_PK) if len(paired_PK) else {})


def _contrast(rows_PK: Tensor) -> dict[str, float]:
    """What compares the two sides."""
    margins_P = rows_PK[:, 4]
    right, n = int((margins_P > 0).sum()), len(margins_P)
    low, high = wilson(right, n)
    quantiles = torch.quantile(margins_P, torch.tensor(QUANTILES, dtype=margins_P.dtype))
    return {
        "loss/or": float(rows_PK[:, 5].mean()),
        "logps/rejected": float(rows_PK[:, 3].mean()),
        "log_odds_ratio": float(margins_P.mean()),
        "accuracy": right / n,
        "accuracy/low": low,
        "accuracy/high": high,
        **{
            f"margin/p{round(100 * q):02d}": float(v)
            for q, v in zip(QUANTILES, quantiles, strict=True)
        },
    }


def lengths(examples: Sequence[Example]) -> dict[str, float]:
    """Mean lengths of a step's rows in tokens, and the share of rows that were truncated."""
    rejected = [len(e.rejected) for e in examples if e.rejected is not None]
    values = {
        "lengths/prompt": fmean(len(e.prefix) for e in examples),
        "lengths/chosen": fmean(len(e.chosen) for e in examples),
        "truncated_share": fmean(e.truncated for e in examples),
    }
    return values | ({"lengths/rejected": fmean(rejected)} if rejected else {})


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share `right / n` (Wilson 1927); n > 0."""
    share, z2 = right / n, Z_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)

"""Evaluates the held-out pairs with the current policy. Changes no weight and no random state.

Knows the policy and the objective; knows nothing of steps or files.

Shapes: H held-out pairs, K columns of `series.COLUMNS`.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from orpo.contract.methods import Method
from orpo.contract.numbers import PairRecord
from orpo.loss.loss import pair_numbers
from orpo.loss.series import COLUMNS, rows
from orpo.model.policy import token_logps
from orpo.process.stopping import Stopping
from orpo.strategies.strategy import Replicated
from orpo.tokens.tokenize import Example
from orpo.tokens.work import deal


@torch.no_grad()
def evaluate(
    strategy: Replicated, examples: Sequence[Example], method: Method, stopping: Stopping
) -> Tensor | None:
    """Every held-out pair's numbers, fp64 [H, K], the same on every rank.

    Ranks share the pairs. A rejected side is measured if there is one, even under the supervised
    method. Returns None if a rank was asked to stop: the evaluation is then incomplete.
    """
    rows_HK = torch.zeros(len(examples), len(COLUMNS), dtype=torch.float64)
    group = strategy.group
    for work in deal(examples, method, group, rejected=True, lockstep=strategy.lockstep):
        if strategy.agree(stopping.requested):
            break
        batch = work.batch.to(group.device)
        logps_L = strategy(token_logps, batch, method.precision)
        if work.counts:
            rows_HK[work.places] = rows(pair_numbers(logps_L, batch, method)).cpu()
    stopped = group.any(stopping.requested)
    rows_HK = group.sum(rows_HK)
    return None if stopped else rows_HK


def pair_records(step: int, examples: Sequence[Example], rows_HK: Tensor) -> Iterator[PairRecord]:
    """One record a held-out pair."""
    for example, row in zip(examples, rows_HK.tolist(), strict=True):
        numbers = dict(zip(COLUMNS, row, strict=True))
        yield PairRecord(
            step,
            example.line,
            log_odds_ratio=numbers["log_odds_ratio"],
            logps_chosen=numbers["logps_chosen"],
            logps_rejected=numbers["logps_rejected"],
            nll=numbers["nll_sum"] / max(1.0, numbers["nll_tokens"]),
        )

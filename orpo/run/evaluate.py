"""Evaluates the held-out pairs with the current policy. Changes no weight and no random state.

Knows the policy and the objective; knows nothing of steps or files.

Shapes: H held-out pairs, K columns of `series.COLUMNS`.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from orpo.contract.methods import Method
from orpo.contract.numbers import PairRecord
from orpo.loss.series import COLUMNS, rows
from orpo.process.stopping import Stopping
from orpo.run.passes import numbers
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
        found = numbers(strategy, batch, method)
        if work.counts:
            rows_HK[work.places] = rows(found).cpu()
    stopped = group.any(stopping.requested)
    rows_HK = group.sum(rows_HK)
    return None if stopped else rows_HK


def pair_records(step: int, examples: Sequence[Example], rows_HK: Tensor) -> Iterator[PairRecord]:
    """One record a held-out pair."""
    for example, row in zip(examples, rows_HK.tolist(), strict=True):
        found = dict(zip(COLUMNS, row, strict=True))
        margin = found["reward_chosen"] - found["reward_rejected"]
        yield PairRecord(
            step,
            example.line,
            log_odds_ratio=found["log_odds_ratio"] if math.isnan(margin) else margin,
            logps_chosen=found["logps_chosen"],
            logps_rejected=found["logps_rejected"],
            nll=found["nll_sum"] / max(1.0, found["nll_tokens"]),
        )

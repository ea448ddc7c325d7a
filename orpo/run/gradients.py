"""The gradients of one optimizer step, over all of its micro-batches and ranks.

Knows the policy and the objective; knows nothing of optimizers, files or step numbers.

Shapes: P pairs of the step, K columns of `series.COLUMNS`, L labelled tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from orpo.contract.methods import Method
from orpo.contract.numbers import Phase
from orpo.loss.loss import Counts, counts, outcome
from orpo.loss.series import COLUMNS, rows
from orpo.process.parallel import Single
from orpo.run.passes import numbers
from orpo.run.speed import Clock
from orpo.strategies.strategy import Replicated
from orpo.tokens.tokenize import Example
from orpo.tokens.work import Work, deal


def accumulate(
    strategy: Replicated, examples: Sequence[Example], method: Method, clock: Clock
) -> Tensor:
    """Add this rank's part of the step's gradients to what `strategy` holds.

    The loss of each micro-batch is divided by the denominators of the whole step, so that the sum
    of its gradients over micro-batches and ranks is the gradient of one undivided batch. Returns
    every pair's numbers, fp64 [P, K], the same on every rank.
    """
    group = strategy.group
    lockstep = strategy.lockstep
    with clock.phase(Phase.DATA):
        works = list(deal(examples, method, group, rejected=method.contrasts, lockstep=lockstep))
        denominators = count(works, method, group)
    rows_PK = torch.zeros(len(examples), len(COLUMNS), dtype=torch.float64)
    for at, work in enumerate(works):
        with clock.phase(Phase.FORWARD):
            batch = work.batch.to(group.device)
            result = outcome(numbers(strategy, batch, method), method, denominators)
            loss = result.loss if work.counts else 0 * result.loss
        with clock.phase(Phase.BACKWARD):
            strategy.backward(loss, last=at == len(works) - 1)
        if work.counts:
            rows_PK[work.places] = rows(result.numbers).cpu()
    return group.sum(rows_PK)


def count(works: Sequence[Work], method: Method, group: Single) -> Counts:
    """The two denominators of the step, summed over ranks: likelihood tokens and pairs."""
    mine = counts((work.batch for work in works if work.counts), method)
    nll, pairs = group.sum(torch.tensor([mine.nll, mine.pairs], dtype=torch.float64))
    return Counts(float(nll), float(pairs))

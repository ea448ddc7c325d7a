"""The gradients of one optimizer step, over all of its micro-batches and ranks.

Knows the policy and the objective; knows nothing of optimizers, files or which step it is.

Shapes: P pairs of the step, K columns of `series.COLUMNS`, L labelled tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from orpo.loss import Counts, counts, objective
from orpo.masters import Masters
from orpo.methods import Method, Preference
from orpo.parallel import Single
from orpo.policy import Policy, token_logps
from orpo.series import COLUMNS, rows
from orpo.tokenize import Example
from orpo.work import Work, deal


def accumulate(
    policy: Policy, masters: Masters, examples: Sequence[Example], method: Method, group: Single
) -> Tensor:
    """Add the step's gradients to the masters', on every rank the sum over all ranks.

    The loss of each micro-batch is divided by the denominators of the whole step, so that the sum
    of its gradients is the gradient of one undivided batch. Returns every pair's numbers, fp64
    [P, K], the same on every rank.
    """
    contrast = isinstance(method, Preference)  # else the rejected side is never computed
    works = list(deal(examples, method, group, rejected=contrast))
    denominators = count(works, method, group)
    rows_PK = torch.zeros(len(examples), len(COLUMNS), dtype=torch.float64)
    for work in works:
        batch = work.batch.to(group.device)
        logps_L = token_logps(policy, batch, method.precision)
        outcome = objective(logps_L, batch, method, denominators)
        outcome.loss.backward()
        rows_PK[work.places] = rows(outcome.numbers).cpu()
    group.sum_gradients(masters)
    return group.sum(rows_PK)


def count(works: Sequence[Work], method: Method, group: Single) -> Counts:
    """The two denominators of the step, summed over ranks: likelihood tokens and pairs."""
    mine = counts((work.batch for work in works), method)
    nll, pairs = group.sum(torch.tensor([mine.nll, mine.pairs], dtype=torch.float64))
    return Counts(float(nll), float(pairs))

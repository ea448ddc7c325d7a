"""What the untrained policy says of each answer, for the methods that compare with it.

Computed once, before the first step and before a checkpoint is loaded: the policy then still is
its base, whatever is tuned (a fresh adapter adds nothing).

Shapes: E examples, S = 2B sequences of a batch.
"""

from dataclasses import replace
from functools import partial

import torch

from orpo.data import Data, Part
from orpo.loss import sum_logps
from orpo.methods import Method
from orpo.parallel import Single
from orpo.policy import Policy, token_logps
from orpo.stopping import Stopping
from orpo.work import deal


def measure(
    policy: Policy, data: Data, method: Method, parallel: Single, stopping: Stopping
) -> Data:
    """The data with both answers' summed log-probs under `policy`; ranks share the work."""
    return data.map(partial(_measured, policy, method, parallel, stopping))


@torch.no_grad()
def _measured(
    policy: Policy, method: Method, parallel: Single, stopping: Stopping, part: Part
) -> Part:
    """Asked to stop, the rest get zeros: such a run ends before its next step."""
    sums_E2 = torch.zeros(len(part.examples), 2, dtype=torch.float64)
    for work in deal(part.examples, method, parallel, rejected=True):
        if stopping.requested:
            break
        batch = work.batch.to(parallel.device)
        logps_S = sum_logps(token_logps(policy, batch, method.precision), batch)
        if batch.has_rejected:
            sums_E2[work.places] = logps_S.view(-1, 2).cpu()
    sums_E2 = parallel.sum(sums_E2)
    return replace(part, examples=part.examples.with_references(sums_E2.numpy()))

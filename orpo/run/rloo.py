"""REINFORCE with a leave-one-out baseline: one advantage for each answer, no value head.

Knows the objective; knows nothing of how answers are made or micro-batches are packed.

Shapes: P answers, N tokens of the longest one, L labelled tokens of a micro-batch, W answers of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from orpo.contract.on_policy import Rloo
from orpo.loss import clipped, returns
from orpo.loss.loss import sum_by
from orpo.run.on_policy import OnPolicyLearner, Share
from orpo.run.rollouts import Rollouts
from orpo.tokens.work import Work


class RlooLearner(OnPolicyLearner[Rloo]):
    """Learns answer by answer, with the other answers to its prompt as the baseline."""

    def targets(self, found: Rollouts) -> tuple[Tensor, ...]:
        """The advantage and the old log-prob of each answer, fp64 [P] each."""
        kl_P = returns.kl_of_answers(found.logps_PN, found.reference_PN, found.mask_PN)
        rewards_P = self.scores(found) - self.kl_weight * kl_P
        advantages_P = returns.leave_one_out(rewards_P, self.method.answers_per_prompt)
        return advantages_P, (found.logps_PN * found.mask_PN).sum(1)

    def terms(self, found: Rollouts, places: Sequence[int]) -> int:
        del found
        return len(places)

    def share(
        self, found: Rollouts, targets: tuple[Tensor, ...], work: Work, logps_L: Tensor,
        values_L: Tensor, n_terms: int,
    ) -> Share:  # fmt: skip
        del found, values_L
        advantages_W, old_W = (each_P[work.places].to(logps_L.device) for each_P in targets)
        owner_L = (work.batch.sequence_L // 2).to(logps_L.device)
        logps_W = sum_by(logps_L, owner_L, len(work.places))
        policy = clipped.policy_terms(logps_W, old_W, advantages_W, self.method.clip)
        total = policy.loss_L.sum()
        sums = torch.stack(
            [total, 0 * total, policy.clipped_L.sum(), total.new_tensor(float(len(work.places)))]
        )
        return Share(total / n_terms, sums)

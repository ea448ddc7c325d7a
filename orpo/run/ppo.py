"""Proximal policy optimisation: an advantage and a value for each token of an answer.

Knows the objective; knows nothing of how answers are made or micro-batches are packed.

Shapes: P answers, N tokens of the longest one, L labelled tokens of a micro-batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from orpo.contract.on_policy import Ppo
from orpo.loss import clipped, returns
from orpo.run.on_policy import OnPolicyLearner, Share
from orpo.run.rollouts import Rollouts, cells_of
from orpo.tokens.work import Work


class PpoLearner(OnPolicyLearner[Ppo]):
    """Learns token by token, with a value head as the baseline."""

    @property
    def value_weight(self) -> float:
        return self.method.value_weight

    def targets(self, found: Rollouts) -> tuple[Tensor, ...]:
        """The whitened advantages and the returns of the tokens, fp64 [P, N] each."""
        method, mask_PN = self.method, found.mask_PN
        rewards_PN = returns.token_rewards(
            self.scores(found), found.logps_PN, found.reference_PN, mask_PN, self.kl_weight
        )
        advantages_PN = returns.advantages(
            rewards_PN, found.values_PN, mask_PN, method.gamma, method.gae_lambda
        )
        returns_PN = (advantages_PN + found.values_PN) * mask_PN
        return returns.whiten(advantages_PN, mask_PN), returns_PN

    def terms(self, found: Rollouts, places: Sequence[int]) -> int:
        return int(found.mask_PN[places].sum())

    def share(
        self, found: Rollouts, targets: tuple[Tensor, ...], work: Work, logps_L: Tensor,
        values_L: Tensor, n_terms: int,
    ) -> Share:  # fmt: skip
        method, cells = self.method, cells_of(work)
        of_tokens = (found.logps_PN, found.values_PN, *targets)
        old_L, old_values_L, advantages_L, returns_L = (
            each_PN[cells].to(logps_L.device) for each_PN in of_tokens
        )
        policy = clipped.policy_terms(logps_L, old_L, advantages_L, method.clip)
        value = clipped.value_terms(values_L, old_values_L, returns_L, method.value_clip)
        sums = policy.loss_L.sum(), value.loss_L.sum(), policy.clipped_L.sum()
        loss = (sums[0] + method.value_weight * sums[1]) / n_terms
        return Share(loss, torch.stack([*sums, sums[0].new_tensor(float(len(logps_L)))]))

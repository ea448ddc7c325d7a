"""The steps of the methods that train a policy on answers of its own.

A step answers a batch of prompts, scores the answers, and updates the policy on them several times.
Every random choice is keyed by the run's seed, the step and the line of a prompt, so a resumed run
makes the same choices. Knows the strategy and how a step goes; `ppo.py` and `rloo.py` know the
objectives.

Shapes: P answers, N tokens of the longest one, L labelled tokens of a micro-batch.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from orpo.contract.failures import Code, Failure
from orpo.contract.hyperparameters import Tuning
from orpo.contract.numbers import Phase, Series
from orpo.contract.on_policy import OnPolicy
from orpo.loss import clipped, returns
from orpo.model import tempered
from orpo.run import rollouts
from orpo.run.learner import Learned
from orpo.run.rollouts import Actor, Rollouts
from orpo.run.speed import Clock
from orpo.tokens.example import Example
from orpo.tokens.work import Work

KL_WEIGHT = "kl_weight"  # in the state
Objective = TypeVar("Objective", bound=OnPolicy)
Orders = Sequence[Sequence[list[int]]]


class Share(NamedTuple):
    """A micro-batch's share of a minibatch's loss (a scalar with its graph), and sums that the
    series are made of: fp64 [4], see `SUMS`.
    """

    loss: Tensor
    sums_4: Tensor


SUMS = ("policy", "value", "clipped", "terms")


class OnPolicyLearner(ABC, Generic[Objective]):
    """How a step goes, whatever the objective."""

    def __init__(self, actor: Actor, method: Objective, seed: int, clock: Clock) -> None:
        self.actor, self.method, self.seed, self.clock = actor, method, seed, clock
        self.strategy, self.group = actor.strategy, actor.group
        self.kl_weight = method.kl_weight
        tempered.check_temperature(actor.strategy.policy, method.temperature)

    def state(self) -> dict[str, float]:
        return {KL_WEIGHT: self.kl_weight}

    def restore(self, state: Mapping[str, float]) -> None:
        self.kl_weight = state[KL_WEIGHT]

    # --- the objective ----------------------------------------------------------------------------

    @property
    def value_weight(self) -> float:
        """Weight of a value head's loss; 0 where there is none."""
        return 0.0

    @abstractmethod
    def targets(self, found: Rollouts) -> tuple[Tensor, ...]:
        """What the updates of a step need beside the answers, from which `share` computes."""

    @abstractmethod
    def terms(self, found: Rollouts, places: Sequence[int]) -> int:
        """The denominator of a minibatch's loss: its tokens, or its answers."""

    @abstractmethod
    def share(
        self, found: Rollouts, targets: tuple[Tensor, ...], work: Work, logps_L: Tensor,
        values_L: Tensor, n_terms: int,
    ) -> Share:  # fmt: skip
        """A micro-batch's share of the loss of a minibatch with `n_terms`."""

    # --- a step -----------------------------------------------------------------------------------

    def learn(self, step: int, examples: Sequence[Example], rate: float) -> Learned | None:
        """Raises Failure(`diverged`) if the answers' KL divergence exceeds `kl_limit`."""
        asked = [(each, n) for each in examples for n in range(self.method.answers_each)]
        keys = [rollouts.key(self.seed, step, example.line, n) for example, n in asked]
        with self.clock.phase(Phase.GENERATION):
            answers = self.actor.answers([example for example, _ in asked], keys)
        if answers is None:
            return None
        orders = [[*self.order(len(answers), step, n)] for n in range(self.method.ppo_epochs)]
        with self.clock.phase(Phase.SCORING):
            found = self.actor.measure(answers, orders[0])
        values = summarise(found) | {Series.KL_WEIGHT: self.kl_weight}
        self._refuse_runaway(step, values[Series.KL])
        with self.clock.phase(Phase.UPDATE):
            updated = self._update(found, orders, rate)
        if updated is None:
            return None
        losses, norm = updated
        if self.method.kl_target is not None:
            self.kl_weight = returns.next_kl_weight(
                self.kl_weight, values[Series.KL], len(answers), self.method.kl_target,
                self.method.kl_horizon,
            )  # fmt: skip
        tokens = self.method.ppo_epochs * sum(a.n_computed(rejected=False) for a in answers)
        return Learned(values | losses, norm, tokens)

    def order(self, n_answers: int, step: int, epoch: int) -> Iterator[list[int]]:
        """The places of the answers in each minibatch of a pass."""
        order = list(range(n_answers))
        random.Random(rollouts.key(self.seed, step, "pass", epoch)).shuffle(order)  # noqa: S311  not a secret
        size = self.method.minibatch_size
        for start in range(0, n_answers, size):
            yield order[start : start + size]

    def _refuse_runaway(self, step: int, kl: float) -> None:
        if not kl <= self.method.kl_limit:
            raise Failure(
                Code.DIVERGED,
                f"The answers of step {step} have a mean KL divergence of {kl:.1f} nats from the "
                f"base, above kl_limit = {self.method.kl_limit:g}; this step was not made.",
                "Lower learning_rate, or raise kl_weight. The last checkpoint is intact.",
                "kl_limit",
            )

    def _update(
        self, found: Rollouts, orders: Orders, rate: float
    ) -> tuple[dict[str, float], float] | None:
        """All updates of a step: their series and the mean of their gradients' norms. If a rank was
        asked to stop, None; the weights are then those before the step.
        """
        targets = self.targets(found)
        before = self._kept()
        norms, sums_4 = list[float](), torch.zeros(len(SUMS), dtype=torch.float64)
        for places in (places for order in orders for places in order):
            if before is not None and self.group.any(self.actor.stopping.requested):
                self._undo(before)
                return None
            sums_4 += self.backward(found, targets, places)
            norms.append(self.strategy.step(rate))
        return self._losses(self.group.sum(sums_4)), fmean(norms)

    def _kept(self) -> dict[str, Tensor] | None:
        """A copy of an adapter and its optimizer's state. None if all weights are trained: the copy
        would be too large, so a step that has begun to change them is finished.
        """
        if self.method.tuning is Tuning.FULL:
            return None
        return {name: tensor.clone() for name, tensor in self.strategy.tensors().items()}

    def _undo(self, before: dict[str, Tensor]) -> None:
        # Before its first step the optimizer has no state, and a run saves nothing.
        if any(not name.startswith("weight/") for name in before):
            self.strategy.restore(before)

    def backward(
        self, found: Rollouts, targets: tuple[Tensor, ...], places: Sequence[int]
    ) -> Tensor:
        """Add the gradients of a minibatch; returns this rank's sums, fp64 [4] (see `SUMS`)."""
        sums_4 = torch.zeros(len(SUMS), dtype=torch.float64)
        n_terms = self.terms(found, places)
        works = list(self.actor.works(found.answers, places))
        for at, (work, batch) in enumerate(works):
            logps_L, values_L = self.strategy(
                tempered.logps_and_values, batch, self.method.precision, self.method.temperature
            )
            share = self.share(found, targets, work, logps_L, values_L, n_terms)
            self.strategy.backward(share.loss, last=at == len(works) - 1)
            sums_4 += share.sums_4.detach().cpu()
        return sums_4

    def _losses(self, sums_4: Tensor) -> dict[str, float]:
        """The series of the updates of a step: means over their terms, of all ranks."""
        sums = dict(zip(SUMS, sums_4.tolist(), strict=True))
        policy, value = sums["policy"] / sums["terms"], sums["value"] / sums["terms"]
        return {
            Series.LOSS: policy + self.value_weight * value,
            Series.LOSS_POLICY: policy,
            Series.CLIP_SHARE: sums["clipped"] / sums["terms"],
            **({Series.LOSS_VALUE: value} if self.value_weight else {}),
        }

    def scores(self, found: Rollouts) -> Tensor:
        """The scores as the objective takes them, fp64 [P]."""
        scores_P = found.scores_P
        if self.method.normalise_scores:
            scores_P = returns.normalise(scores_P)
        return scores_P - self.method.cut_off_penalty * found.cut_off_P.double()

    # --- held-out prompts -------------------------------------------------------------------------

    def measure(self, examples: Sequence[Example]) -> dict[str, float] | None:
        """Rewards of answers to held-out prompts, drawn with the same numbers at every step. The
        loss is minus their mean.
        """
        keys = [rollouts.key(self.seed, "held_out", example.line) for example in examples]
        answers = self.actor.answers(examples, keys)
        if answers is None:
            return None
        values = summarise(self.actor.measure(answers, [[*range(len(answers))]]))
        return values | {Series.LOSS: -values[Series.REWARD_MEAN]}


def summarise(found: Rollouts) -> dict[str, float]:
    """The series of answers, before an update."""
    kl_P = returns.kl_of_answers(found.logps_PN, found.reference_PN, found.mask_PN)
    return {
        Series.REWARD_MEAN: float(found.scores_P.mean()),
        Series.REWARD_SD: float(found.scores_P.std(correction=0)),
        Series.KL: float(kl_P.mean()),
        Series.ENTROPY: float(clipped.entropy(found.logps_PN[found.mask_PN])),
        Series.LENGTH_PROMPT: fmean(len(answer.prefix) for answer in found.answers),
        Series.LENGTH_ANSWER: float(found.mask_PN.sum(1).double().mean()),
        Series.CUT_OFF_SHARE: float(found.cut_off_P.double().mean()),
    }

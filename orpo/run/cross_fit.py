"""Adapters that each judge pairs that they were not trained on.

For each part of the pairs, a new adapter is trained on the others and then measures this part: a
fold. Knows the policy, the objective and the examples; knows no
files, no texts and no jobs.

Shapes: E pairs, J pairs of one part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from orpo.contract.failures import refuse_nan
from orpo.contract.numbers import Series
from orpo.contract.spec import RunSpec
from orpo.loss import series
from orpo.model import policy
from orpo.model.policy import Policy
from orpo.process.parallel import Single
from orpo.process.stopping import Stopping
from orpo.run import gradients, speed
from orpo.run.evaluate import evaluate
from orpo.strategies.adopt import adopt
from orpo.strategies.optimizer import rate
from orpo.strategies.strategy import Replicated
from orpo.tokens.data import steps
from orpo.tokens.examples import Examples
from orpo.tokens.pack import plan
from orpo.tokens.tokenize import Example

PAIRS_AT_ONCE = 64  # measured between two reports of progress

# What is called after each unit of work, with the training loss if it was a step.
Tell = Callable[[float | None], None]


class Stopped(Exception):
    """The run was asked to stop before this part of the work was done."""


class Measured(NamedTuple):
    """The numbers of J pairs under one policy, fp64 [J] each.

    `log_odds` is ORPO's log odds ratio of the given choice. `gain` is how much more the policy
    raised the summed log-prob of the chosen answer than that of the rejected one; zeros for the
    base itself.
    """

    log_odds: NDArray[np.float64]
    gain: NDArray[np.float64]


@dataclass
class CrossFit:
    """One policy whose adapter is reset before each fold, and the pairs to judge."""

    spec: RunSpec
    group: Single
    policy: Policy
    examples: Examples
    stopping: Stopping
    tell: Tell

    def __post_init__(self) -> None:
        trained = policy.trainable(self.policy).items()
        self._initial = {name: weight.detach().clone() for name, weight in trained}
        self._clock = speed.Clock()

    # --- what there is to do ----------------------------------------------------------------------

    def units(self, n_trained: int, n_judged: int) -> int:
        """How often `tell` is called for a fold, or for the base with `n_trained` = 0."""
        trained = steps(n_trained, self.spec.method)[0] if n_trained else 0
        return trained + -(-n_judged // PAIRS_AT_ONCE)

    # --- the work ---------------------------------------------------------------------------------

    def base(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both answers' length-averaged and summed log-probs under the base, [E, 2] each.

        Raises Stopped.
        """
        rows_EK = self._rows(self._fresh(), self.examples, range(len(self.examples)))
        column = series.columns(rows_EK)
        means_E2 = torch.stack([column.logps_chosen, column.logps_rejected], dim=1).numpy()
        tokens_E2 = np.array([(sum(e.chosen_mask), sum(e.rejected_mask)) for e in self.examples])
        return means_E2, means_E2 * tokens_E2

    def judge(
        self, sums_E2: NDArray[np.float64], trained: Sequence[int], judged: Sequence[int]
    ) -> Measured:
        """Train a new adapter on the pairs at `trained` and measure those at `judged`.

        `sums_E2` are the base's summed log-probs. Raises Stopped, and Failure(`nan`) if the loss is
        no longer finite.
        """
        strategy = self._fresh()
        examples = self.examples.with_references(sums_E2)
        self._train(strategy, examples, trained)
        column = series.columns(self._rows(strategy, examples, judged))
        gain_J = column.gain_chosen - column.gain_rejected
        return Measured(column.log_odds_ratio.numpy(), gain_J.numpy())

    @torch.no_grad()
    def _fresh(self) -> Replicated:
        """The policy with its adapter as it was first, and an optimizer without moments."""
        for name, weight in policy.trainable(self.policy).items():
            weight.copy_(self._initial[name])
        return adopt(self.policy, self.spec, self.group)

    def _train(self, strategy: Replicated, examples: Examples, places: Sequence[int]) -> None:
        method = self.spec.method
        tokens_E = examples.tokens_E(rejected=True)[list(places)].tolist()
        n_steps, per_epoch = steps(len(places), method)
        epoch_planned, planned = -1, list[list[int]]()
        for step in range(1, n_steps + 1):
            self.heed()
            epoch, at = divmod(step - 1, per_epoch)
            if epoch != epoch_planned:
                planned = plan(tokens_E, method.batch_size, self.spec.seed, epoch)
                epoch_planned = epoch
            some = [examples[places[index]] for index in planned[at]]
            rows_PK = gradients.accumulate(strategy, some, method, self._clock)
            norm = strategy.step(rate(step, n_steps, method))
            loss = series.summarise(rows_PK, method)[Series.LOSS]
            refuse_nan(step, loss, norm)
            self.tell(loss)

    def _rows(
        self, strategy: Replicated, examples: Examples, places: Sequence[int]
    ) -> torch.Tensor:
        found = []
        for start in range(0, len(places), PAIRS_AT_ONCE):
            some: list[Example] = [examples[at] for at in places[start : start + PAIRS_AT_ONCE]]
            rows_JK = evaluate(strategy, some, self.spec.method, self.stopping)
            if rows_JK is None:
                raise Stopped
            found.append(rows_JK)
            self.tell(None)
        return torch.cat(found)

    def heed(self) -> None:
        """Raise Stopped if the run was asked to stop."""
        if self.group.any(self.stopping.requested):
            raise Stopped

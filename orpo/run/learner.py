"""What a run does in a step, and what it measures beside its held-out pairs: the two kinds of
methods differ in nothing else.

Knows the strategy and the objectives; knows no files.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from orpo.contract.methods import Method
from orpo.contract.numbers import Phase
from orpo.loss import series
from orpo.run import gradients
from orpo.run.speed import Clock
from orpo.strategies.strategy import Replicated
from orpo.tokens.example import Example


class Learned(NamedTuple):
    """The series of a step (with its loss), the gradient's norm, and the tokens that were trained
    on.
    """

    values: dict[str, float]
    norm: float
    tokens: int


class Learner(Protocol):
    """Makes the steps of a run."""

    def learn(self, step: int, examples: Sequence[Example], rate: float) -> Learned | None:
        """Change the weights by what is learned from the examples of a step.

        Returns None if a rank was asked to stop before the weights were changed.
        """
        ...

    def measure(self, examples: Sequence[Example]) -> dict[str, float] | None:
        """Series of held-out examples beyond those of pairs; None if a rank was asked to stop.
        Changes no weight and no random state.
        """
        ...

    def state(self) -> dict[str, float]:
        """What decides the next step beside weights, optimizer and step."""
        ...

    def restore(self, state: Mapping[str, float]) -> None:
        """Continue from what `state` returned."""
        ...


class PairLearner:
    """Learns from the rows' own answers: one update a step."""

    def __init__(self, strategy: Replicated, method: Method, clock: Clock) -> None:
        self.strategy, self.method, self.clock = strategy, method, clock

    def learn(self, step: int, examples: Sequence[Example], rate: float) -> Learned | None:
        del step
        rows_PK = gradients.accumulate(self.strategy, examples, self.method, self.clock)
        values = series.summarise(rows_PK, self.method) | series.lengths(examples)
        with self.clock.phase(Phase.OPTIMIZER):
            norm = self.strategy.step(rate)
        tokens = sum(e.n_computed(rejected=self.method.contrasts) for e in examples)
        return Learned(values, norm, tokens)

    def measure(self, examples: Sequence[Example]) -> dict[str, float] | None:
        del examples
        return {}

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        del state

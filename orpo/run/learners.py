"""Chooses what makes the steps of a run; only this module knows all kinds of learners."""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from orpo.contract.methods import Method
from orpo.contract.numbers import Phase
from orpo.contract.on_policy import OnPolicy, Ppo, Rloo
from orpo.contract.spec import RunSpec
from orpo.model import value_head
from orpo.model.policy import Policy, causal_lm, head
from orpo.process.stopping import Stopping
from orpo.run.learner import Learner, PairLearner
from orpo.run.ppo import PpoLearner
from orpo.run.rloo import RlooLearner
from orpo.run.rollouts import Actor
from orpo.run.scorer import RewardScorer
from orpo.run.speed import PHASES_OF_PAIRS, PHASES_ON_POLICY, Clock
from orpo.strategies.strategy import Replicated


def phases(method: Method) -> Iterable[Phase]:
    """The phases of a step."""
    return PHASES_ON_POLICY if isinstance(method, OnPolicy) else PHASES_OF_PAIRS


def extend(policy: Policy, method: Method) -> None:
    """Add what is trained beside the policy. Call it before the strategy takes the weights over."""
    if isinstance(method, Ppo):
        lm = causal_lm(policy)
        value_head.attach(lm, head(lm).weight.shape[1])


def make(
    spec: RunSpec,
    strategy: Replicated,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    clock: Clock,
    stopping: Stopping,
) -> Learner:
    """The learner of the spec's method. Raises Failure(`bad_spec`) if its reward model can't score
    the base's answers.
    """
    method = spec.method
    if not isinstance(method, Ppo | Rloo):
        return PairLearner(strategy, method, clock)
    scorer = RewardScorer(spec, strategy.group, tokenizer)
    actor = Actor(strategy, tokenizer, method, max_length, scorer, stopping)
    if isinstance(method, Ppo):
        return PpoLearner(actor, method, spec.seed, clock)
    return RlooLearner(actor, method, spec.seed, clock)

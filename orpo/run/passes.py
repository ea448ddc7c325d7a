"""One pass of a batch through the policy, to the numbers of its pairs, whatever the method reads.

Knows the policy and the objective; knows nothing of steps or files.
"""

from orpo.contract.methods import Method
from orpo.contract.numbers import PairNumbers
from orpo.loss.loss import pair_numbers, reward_numbers
from orpo.model.policy import token_logps
from orpo.model.rewards import rewards
from orpo.strategies.strategy import Replicated
from orpo.tokens.pack import Batch


def numbers(strategy: Replicated, batch: Batch, method: Method) -> PairNumbers:
    """The numbers of each pair, with their graph where grad is on. In lockstep every rank must call
    it.
    """
    if method.scores:
        return reward_numbers(strategy(rewards, batch, method.precision), batch, method)
    return pair_numbers(strategy(token_logps, batch, method.precision), batch, method)

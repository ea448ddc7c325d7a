"""Scores the policy's answers with a trained reward model.

Knows the checkpoint of a reward model; knows nothing of objectives or steps.

Shapes: P answers.
"""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from orpo.contract.spec import RunSpec
from orpo.process.parallel import Single
from orpo.tokens.example import Example


class RewardModel:
    """The reward model of a run; every rank holds it, and scores its share of the answers."""

    def __init__(self, spec: RunSpec, group: Single, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises Failure(`bad_spec`), naming `reward_model`, if it is missing or has another
        tokenizer than the base.
        """
        self.spec, self.group, self.tokenizer = spec, group, tokenizer

    def __call__(self, answers: Sequence[Example]) -> Tensor:
        """The score of each answer, fp64 [P], the same on every rank."""
        raise NotImplementedError

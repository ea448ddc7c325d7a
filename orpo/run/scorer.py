"""Scores the policy's answers with the run's reward model.

Knows reward models and packed batches; knows nothing of objectives or steps.

Shapes: P answers.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from orpo.contract.failures import Code, Failure
from orpo.contract.spec import RunSpec
from orpo.model.reward_model import load_reward_model
from orpo.model.score_head import last_token
from orpo.process.parallel import Single
from orpo.tokens.example import Example
from orpo.tokens.same_tokenizer import check_reward_model
from orpo.tokens.work import deal


class RewardScorer:
    """The reward model of a run; every rank holds it, and scores its share of the answers."""

    def __init__(self, spec: RunSpec, group: Single, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises Failure, naming `reward_model`, if it can't score answers of the base."""
        check_reward_model(spec, tokenizer)
        end, folder = last_token(tokenizer), spec.reward_path
        if end is None or folder is None:
            raise Failure(
                Code.BAD_SPEC,
                "The chat template of the base model refuses a plain question with an answer, so "
                "no reward model can read one.",
                "Choose another base model.",
                "base_model",
            )
        self.end, self.method, self.group = end, spec.method, group
        self.model = load_reward_model(folder, spec.method.precision, group.device)

    def __call__(self, answers: Sequence[Example]) -> Tensor:
        """The score of each answer, fp64 [P], the same on every rank.

        It is read at the token that ends a turn, which is put in place of the answer's last token:
        the same one, another one that ends answers, or that of an answer that was cut off.
        """
        ended = [replace(answer, chosen=[*answer.chosen[:-1], self.end]) for answer in answers]
        scores_P = torch.zeros(len(answers), dtype=torch.float64)
        for work in deal(ended, self.method, self.group, rejected=False):
            scores_P[work.places] = self.model.rewards(work.batch).double()
        return self.group.sum(scores_P)

"""Greedy answers to fixed held-out prompts, so that people can read how the policy changes.

Knows generation; changes no weight and, being greedy, no random state.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from orpo.formats import Pair
from orpo.hyperparameters import Hyperparameters
from orpo.policy import Policy, autocast, causal_lm
from orpo.stopping import Stopping
from orpo.tokenize import render

SECONDS_A_PROMPT = 30.0


class _Asked(StoppingCriteria):
    """Ends a generation when the run was asked to stop."""

    def __init__(self, stopping: Stopping):
        self.stopping = stopping

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002  the interface's names
        return torch.full((len(input_ids),), self.stopping.requested, device=input_ids.device)


@torch.no_grad()
def samples(
    policy: Policy,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    method: Hyperparameters,
    stopping: Stopping,
) -> Iterator[dict[str, Any]]:
    """Answers of at most `sample_tokens` tokens, each beside the pair's own two.

    An answer that takes longer than half a minute is cut there; none follows a request to stop.
    """
    settings = _settings(policy, tokenizer, method)
    for pair in pairs:
        prompt = render(tokenizer, pair.prompt, add_generation_prompt=True)
        answer = _generate(policy, prompt, settings, stopping, method)
        if stopping.requested:
            return
        yield {
            "line": pair.line,
            "prompt": pair.prompt,
            "answer": tokenizer.decode(answer, skip_special_tokens=True),
            "chosen": pair.chosen[-1]["content"],
            "rejected": pair.rejected[-1]["content"] if pair.rejected else None,
        }


def _generate(
    policy: Policy,
    prompt: list[int],
    settings: GenerationConfig,
    stopping: Stopping,
    method: Hyperparameters,
) -> list[int]:
    ids_1T = torch.tensor([prompt], device=policy.device)
    lm: Any = causal_lm(policy)  # its type knows `generate` as a mix-in only
    with autocast(lm, method.precision):
        output_1T = lm.generate(
            input_ids=ids_1T,
            attention_mask=torch.ones_like(ids_1T),
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([_Asked(stopping)]),
        )
    return output_1T[0, len(prompt) :].tolist()


def _settings(
    policy: Policy, tokenizer: PreTrainedTokenizerBase, method: Hyperparameters
) -> GenerationConfig:
    """Greedy, whatever the model's own generation settings are; it stops where engines stop."""
    own: Any = getattr(causal_lm(policy).generation_config, "eos_token_id", None)
    listed: list[Any] = own if isinstance(own, list) else [own]
    ends = {end for end in (*listed, tokenizer.eos_token_id) if isinstance(end, int)}
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=method.sample_tokens,
        max_time=SECONDS_A_PROMPT,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.eos_token_id,
    )

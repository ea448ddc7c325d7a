"""Greedy answers to fixed held-out prompts, which show how the policy changes.

Knows generation; changes no weight. Greedy generation uses no random state.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from orpo.contract.hyperparameters import Hyperparameters
from orpo.model.policy import Policy, autocast, causal_lm
from orpo.process.stopping import Stopping
from orpo.rows.formats import Pair
from orpo.strategies.strategy import Replicated
from orpo.tokens.special_text import admitted, special_strings
from orpo.tokens.tokenize import render

SECONDS_A_PROMPT = 30.0


class _Enough(StoppingCriteria):
    """Ends a generation when the run was asked to stop, or after half a minute."""

    def __init__(self, strategy: Replicated, stopping: Stopping):
        self.strategy, self.stopping = strategy, stopping
        self.until = time.monotonic() + SECONDS_A_PROMPT

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002  the interface's names
        enough = self.stopping.requested or time.monotonic() > self.until
        return torch.full((len(input_ids),), self.strategy.agree(enough), device=input_ids.device)


@torch.no_grad()
def samples(
    strategy: Replicated,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    stopping: Stopping,
) -> Iterator[dict[str, Any]]:
    """Answers of at most `sample_tokens` tokens, each beside the pair's own two.

    An answer that takes longer than half a minute is cut there; none follows a request to stop.
    """
    settings = _settings(strategy.policy, tokenizer, strategy.method)
    strings, rule = special_strings(tokenizer), strategy.method.special_tokens
    for row in pairs:
        pair = admitted(row, tokenizer, strings, rule)  # as before tokenisation
        prompt = render(tokenizer, pair.prompt, add_generation_prompt=True)
        answer = strategy(_generate, prompt, settings, _Enough(strategy, stopping), strategy.method)
        if strategy.agree(stopping.requested):
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
    enough: StoppingCriteria,
    method: Hyperparameters,
) -> list[int]:
    ids_1T = torch.tensor([prompt], device=policy.device)
    lm: Any = causal_lm(policy)  # `generate` comes from a mix-in that the type lacks
    with autocast(lm, method.precision):
        output_1T = lm.generate(
            input_ids=ids_1T,
            attention_mask=torch.ones_like(ids_1T),
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([enough]),
        )
    return output_1T[0, len(prompt) :].tolist()


def _settings(
    policy: Policy, tokenizer: PreTrainedTokenizerBase, method: Hyperparameters
) -> GenerationConfig:
    """Greedy, whatever the model's own generation settings are; it stops at the tokens at which
    engines stop.
    """
    own: Any = getattr(causal_lm(policy).generation_config, "eos_token_id", None)
    listed: list[Any] = own if isinstance(own, list) else [own]
    ends = {end for end in (*listed, tokenizer.eos_token_id) if isinstance(end, int)}
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=method.sample_tokens,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.eos_token_id,
    )

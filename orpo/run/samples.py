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
from orpo.model.policy import Policy, autocast, causal_lm, why_unpacked
from orpo.process.stopping import Stopping
from orpo.rows.formats import Pair
from orpo.rows.messages import as_text
from orpo.strategies.strategy import Replicated
from orpo.tokens.special_text import admitted, special_strings
from orpo.tokens.templates import render
from orpo.tokens.work import token_budget

SECONDS_A_PROMPT = 30.0


class _Enough(StoppingCriteria):
    """Ends a generation when the run was asked to stop, or after half a minute a prompt."""

    def __init__(self, strategy: Replicated, stopping: Stopping, n_prompts: int):
        self.strategy, self.stopping = strategy, stopping
        self.until = time.monotonic() + SECONDS_A_PROMPT * n_prompts

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

    Answers are generated together, as many as fit the token budget. A batch ends after 30 s for
    each prompt, and on a request to stop.
    """
    method = strategy.method
    settings = _settings(strategy.policy, tokenizer, method)
    strings, rule = special_strings(tokenizer), method.special_tokens
    rows = [admitted(row, tokenizer, strings, rule) for row in pairs]  # as in tokenisation
    prompts = [render(tokenizer, pair.prompt, True, tools=pair.tools) for pair in rows]
    for some in _batches(prompts, strategy):
        enough = _Enough(strategy, stopping, len(some))
        asked = [prompts[at] for at in some]
        answers = strategy(_generate, asked, settings, enough, method)
        if strategy.agree(stopping.requested):
            return
        for at, answer in zip(some, answers, strict=True):
            pair = rows[at]
            yield {
                "line": pair.line,
                "prompt": pair.prompt,
                "answer": tokenizer.decode(answer, skip_special_tokens=True),
                "chosen": as_text(pair.chosen[-1]),
                "rejected": as_text(pair.rejected[-1]) if pair.rejected else None,
            }


def _batches(prompts: Sequence[list[int]], strategy: Replicated) -> Iterator[list[int]]:
    """Places of prompts to answer together; a model that can't be packed may read padding, and
    answers one by one.
    """
    budget = token_budget(strategy.method, strategy.group)
    if why_unpacked(strategy.policy):
        budget = 0
    some: list[int] = []
    for at in range(len(prompts)):
        longest = max(len(prompts[other]) for other in (*some, at))
        if some and (len(some) + 1) * (longest + strategy.method.sample_tokens) > budget:
            yield some
            some = []
        some.append(at)
    if some:
        yield some


def _generate(
    policy: Policy,
    prompts: Sequence[list[int]],
    settings: GenerationConfig,
    enough: StoppingCriteria,
    method: Hyperparameters,
) -> list[list[int]]:
    """The tokens after each prompt; shorter prompts are padded on the left."""
    longest = max(map(len, prompts))
    pad = settings.pad_token_id or 0
    rows = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
    seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    lm: Any = causal_lm(policy)  # `generate` comes from a mix-in that the type lacks
    with autocast(lm, method.precision):
        output_BT = lm.generate(
            input_ids=torch.tensor(rows, device=policy.device),
            attention_mask=torch.tensor(seen, device=policy.device),
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([enough]),
        )
    return output_BT[:, longest:].tolist()


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

"""Greedy answers to fixed held-out prompts, which show how the policy changes.

Knows generation; changes no weight. Greedy generation uses no random state.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from orpo.model.policy import why_unpacked
from orpo.process.stopping import Stopping
from orpo.rows.formats import Pair
from orpo.rows.messages import as_text
from orpo.run import generation
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
    config = generation.settings(strategy.policy, tokenizer, method.sample_tokens)
    strings, rule = special_strings(tokenizer), method.special_tokens
    rows = [admitted(row, tokenizer, strings, rule) for row in pairs]  # as in tokenisation
    prompts = [render(tokenizer, pair.prompt, True, tools=pair.tools) for pair in rows]
    for some in _places(prompts, strategy):
        enough = _Enough(strategy, stopping, len(some))
        asked = [prompts[at] for at in some]
        answers = strategy(generation.answer, asked, config, method.precision, enough)
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


def _places(prompts: Sequence[list[int]], strategy: Replicated) -> Iterator[list[int]]:
    """Places of prompts to answer together; a model that can't be packed may read padding, and
    answers one by one.
    """
    room = token_budget(strategy.method, strategy.group)
    if why_unpacked(strategy.policy):
        room = 0
    return generation.together([*map(len, prompts)], strategy.method.sample_tokens, room)

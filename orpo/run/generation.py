"""Answers of the policy to several prompts at once.

Knows generation and padding; knows nothing of texts, pairs or rewards. Changes no weight and no
random state.

Shapes: B prompts answered together, N tokens of an answer, V vocabulary.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from orpo.contract.hyperparameters import Precision
from orpo.model.policy import Policy, autocast, causal_lm, head


class Drawn(LogitsProcessor):
    """Makes a greedy search draw its tokens: each row with numbers of its own, so that an answer's
    chances do not depend on the other rows.
    """

    def __init__(self, uniforms_BN: Tensor, temperature: float):
        """`uniforms_BN` lie in [0, 1): token n of row b is the first whose cumulated probability
        exceeds number [b, n].
        """
        self.uniforms_BN, self.temperature = uniforms_BN, temperature
        self.drawn = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002  the interface's names
        below_BV = (scores.float() / self.temperature).softmax(-1).cumsum(-1)
        at_B1 = self.uniforms_BN[:, self.drawn, None].to(below_BV) * below_BV[:, -1:]
        token_B1 = torch.searchsorted(below_BV, at_B1, right=True).clamp(max=scores.shape[1] - 1)
        self.drawn += 1
        return torch.full_like(scores, -torch.inf).scatter(1, token_B1, 0.0)


def together(sizes: Sequence[int], max_new_tokens: int, room: int) -> Iterator[list[int]]:
    """Places of prompts of these `sizes` to answer together: in their order, as many as fit `room`
    padded tokens.
    """
    some: list[int] = []
    for at in range(len(sizes)):
        longest = max(sizes[other] for other in (*some, at))
        if some and (len(some) + 1) * (longest + max_new_tokens) > room:
            yield some
            some = []
        some.append(at)
    if some:
        yield some


def settings(
    policy: Policy, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> GenerationConfig:
    """Greedy, whatever the model's own generation settings are; it stops at the tokens at which
    engines stop.
    """
    own: Any = getattr(causal_lm(policy).generation_config, "eos_token_id", None)
    listed: list[Any] = own if isinstance(own, list) else [own]
    found = {end for end in (*listed, tokenizer.eos_token_id) if isinstance(end, int)}
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(found) or None,
        pad_token_id=tokenizer.eos_token_id,
    )


def at_most(config: GenerationConfig, max_new_tokens: int) -> GenerationConfig:
    """The same settings with another limit."""
    changed = copy.copy(config)
    changed.max_new_tokens = max_new_tokens
    return changed


def ends(config: GenerationConfig) -> set[int]:
    """The tokens that end an answer."""
    return set(config.eos_token_id or ())


@torch.no_grad()
def answer(
    policy: Policy,
    prompts: Sequence[list[int]],
    config: GenerationConfig,
    precision: Precision,
    stop: StoppingCriteria,
    drawn: Drawn | None = None,
) -> list[list[int]]:
    """The tokens after each prompt, padded after their end; greedy unless they are `drawn`. Shorter
    prompts are padded on the left.
    """
    longest = max(map(len, prompts))
    pad = config.pad_token_id or 0
    rows = [[pad] * (longest - len(prompt)) + prompt for prompt in prompts]
    seen = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    lm: Any = causal_lm(policy)  # `generate` comes from a mix-in that the type lacks
    with autocast(lm, precision), _dense_input(head(lm)):
        output_BT = lm.generate(
            input_ids=torch.tensor(rows, device=policy.device),
            attention_mask=torch.tensor(seen, device=policy.device),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([stop]),
            logits_processor=LogitsProcessorList([drawn] if drawn else []),
        )
    return output_BT[:, longest:].tolist()


@contextmanager
def _dense_input(layer: nn.Module) -> Iterator[None]:
    """Copy the layer's input if it is a view with gaps, as the last token of each prompt is: torch
    would multiply row by row, with a copy of the layer's weight for each.
    """

    def dense(_layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].contiguous(),)

    hook = layer.register_forward_pre_hook(dense)
    try:
        yield
    finally:
        hook.remove()

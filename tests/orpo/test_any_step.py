"""Gates 1 and 2 for any step: any pairs, any method, and any way of splitting them.

Hypothesis draws the steps from a fixed seed. `judge` runs them, and `reference` gives the expected
result.
"""

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpo.contract.hyperparameters import NllReduction, NllTokens
from orpo.contract.methods import METHODS, Method, parse_method
from orpo.layers import causal
from orpo.model import policy
from orpo.model.policy import Policy
from orpo.tokens.tokenize import Example
from tests.orpo import reference, tiny_models
from tests.orpo.judge import Way, adapted, assert_as_exact_as_fp32, ours
from tests.orpo.tiny_run import OF_PAIRS

FULL = parse_method("supervised", {"tuning": "full"})
FAMILIES = {
    "llama": lambda: tiny_models.llama(num_hidden_layers=1),
    "gpt2": tiny_models.gpt2,
    "mistral": tiny_models.mistral,
}


@cache
def model(family: str) -> Policy:
    """One model per family for all draws: each step clears the gradients of the one before."""
    return adapted(FAMILIES[family](), FULL)


@st.composite
def sides(draw: Any, least: int, rng: random.Random) -> tuple[list[int], list[bool]]:
    """An answer's tokens and which of them are trained: some, always the last."""
    n = draw(st.integers(least, 12))
    trained = [rng.random() < 0.7 for _ in range(n - 1)] + [True]
    return [rng.randrange(tiny_models.VOCAB) for _ in range(n)], trained


@st.composite
def pairs(draw: Any) -> Example:
    """A random pair. Without a prompt, the first token of an answer is never trained."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    n = draw(st.integers(0, 12))
    earlier = draw(st.booleans())  # also train turns in the prompt
    least = 1 if n else 2
    chosen, chosen_mask = draw(sides(least, rng))
    rejected, rejected_mask = draw(sides(least, rng))
    if not n:
        chosen_mask[0] = rejected_mask[0] = False
    return Example(
        line=0,
        prefix=[rng.randrange(tiny_models.VOCAB) for _ in range(n)],
        chosen=chosen,
        rejected=rejected,
        prefix_mask=[at > 0 and earlier and rng.random() < 0.5 for at in range(n)],
        chosen_mask=chosen_mask,
        rejected_mask=rejected_mask,
        truncated=False,
        reference=(-4.0 * sum(chosen_mask), -4.5 * sum(rejected_mask)),
    )


# A reward model has another head: tests/orpo/test_reward.py is about it.
TOLD_BY_LOGPS = sorted({*OF_PAIRS} - {"reward"})


@st.composite
def methods(draw: Any) -> Method:
    """Any method with any settings and any token budget."""
    kind = draw(st.sampled_from(TOLD_BY_LOGPS))
    fields = METHODS[kind].model_fields
    given = {
        "tuning": "full",
        "nll_tokens": draw(st.sampled_from(NllTokens)),
        "nll_reduction": draw(st.sampled_from(NllReduction)),
        "prefix_sharing": draw(st.booleans()),
        "token_budget": draw(st.integers(8, 200)),
    }
    if "lambda_" in fields:
        given["lambda"] = draw(st.sampled_from([0.1, 1.0]))
    if "nll_weight" in fields:
        given["nll_weight"] = draw(st.sampled_from([0.0, 0.3]))
    return parse_method(kind, given)


@st.composite
def ways(draw: Any, n: int) -> Way:
    """Any order of the pairs, over one to three ranks."""
    order = draw(st.permutations(range(n)))
    return Way(order=order, ranks=draw(st.integers(1, 3)), lockstep=draw(st.booleans()))


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    examples=st.lists(pairs(), min_size=1, max_size=5),
    method=methods(),
    data=st.data(),
)
def test_any_step_is_the_step_by_the_book(
    family: str, examples: list[Example], method: Method, data: st.DataObject
):
    way = data.draw(ways(len(examples)), label="way")
    assert_as_exact_as_fp32(model(family), examples, method, way)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    examples=st.lists(pairs(), min_size=1, max_size=8),
    method=methods(),
    head_rows=st.sampled_from([3, 1000]),
    attention_rows=st.sampled_from([4, 128]),
    data=st.data(),
)
def test_no_way_of_cutting_a_step_shows(
    examples: list[Example],
    method: Method,
    head_rows: int,
    attention_rows: int,
    data: st.DataObject,
):
    """Vary budget, sharing, order, ranks, tiles of the head and blocks of the attention."""
    way = data.draw(ways(len(examples)), label="way")
    plain = method.model_copy(update={"token_budget": 10_000, "prefix_sharing": True})
    loss, gradients = ours(model("llama"), examples, plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "TILE_BYTES", 4 * tiny_models.VOCAB * head_rows)
        patch.setattr(causal, "ROWS", attention_rows)
        other_loss, other = ours(model("llama"), examples, method, way)
    assert abs(loss - other_loss) <= 1e-5 * abs(loss)
    assert reference.worst_gradient_error(other, gradients)[0] <= 1e-5

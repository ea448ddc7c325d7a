"""One optimizer step by the trainer and by the reference, compared for gates 1 and 2.

Ranks are simulated: the work is dealt as to real ranks, but computed in this process.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from orpo.contract.hyperparameters import NllTokens, Precision
from orpo.contract.methods import Method, Preference, Reward
from orpo.loss.loss import counts, objective, outcome, reward_numbers
from orpo.model.adapter import with_lora
from orpo.model.policy import Policy, causal_lm, prepare, token_logps, trainable
from orpo.model.rewards import rewards
from orpo.model.score_head import with_score
from orpo.process.parallel import Single
from orpo.tokens.tokenize import Example
from orpo.tokens.work import Work, deal
from tests.orpo import reference

Step = tuple[float, dict[str, Tensor]]
"""The loss, and the gradient of every trained tensor by name."""


@dataclass(frozen=True)
class Way:
    """How a step is split, beyond the method's settings; it must not change the result."""

    order: Sequence[int] | None = None
    ranks: int = 1
    lockstep: bool = False


class Rank(Single):
    """A simulated rank, for dealing work only."""

    def __init__(self, rank: int, world: int):
        self.rank, self.world = rank, world


def ours(
    model: Policy,
    examples: Sequence[Example],
    method: Method,
    way: Way | None = None,
    precision: Precision = Precision.FP32,
) -> Step:
    """Loss and gradients of one step by the trainer's code."""
    works = list(_works(examples, method, way or Way()))
    denominators = counts((work.batch for work in works if work.counts), method)
    model.zero_grad()
    total = 0.0
    for work in works:
        if method.scores:
            found = reward_numbers(rewards(model, work.batch, precision), work.batch, method)
            loss = outcome(found, method, denominators).loss * work.counts
        else:
            logps = token_logps(model, work.batch, precision)
            loss = objective(logps, work.batch, method, denominators).loss * work.counts
        loss.backward()
        total += loss.item()
    return total, _gradients(model)


def _works(examples: Sequence[Example], method: Method, way: Way) -> Iterator[Work]:
    """The micro-batches of all ranks, one rank after another."""
    examples = [examples[at] for at in way.order] if way.order else examples
    contrast = isinstance(method, Preference)
    for rank in range(way.ranks):
        group = Rank(rank, way.ranks)
        yield from deal(examples, method, group, rejected=contrast, lockstep=way.lockstep)


def _gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in trainable(model).items()
    }


def by_the_book(
    model: Policy,
    examples: Sequence[Example],
    method: Method,
    dtype: torch.dtype = torch.float64,
) -> Step:
    """The same by the fp64 reference, on a copy of the model with eager attention."""
    model = cast(Any, copy.deepcopy(model)).to(dtype)
    causal_lm(model).set_attn_implementation("eager")
    for module in model.modules():
        vars(module).pop("forward", None)  # restore its own: see orpo.layers.kernels
    causal_lm(model).set_experts_implementation("eager")  # the grouped kernel has no fp64
    model.zero_grad()
    rows = [row(example, method) for example in examples]
    if isinstance(method, Reward):
        loss = reference.reward_loss(causal_lm(model), rows, method.center)
    else:
        loss = reference.loss(model, rows, method.model_dump(mode="json"))
    loss.backward()
    return loss.item(), _gradients(model)


def row(example: Example, method: Method) -> reference.Row:
    """The example as two whole sequences."""
    no_prefix = [False] * len(example.prefix)
    chosen = example.prefix + example.chosen
    response = example.prefix_mask + example.chosen_mask
    full = [False] + [True] * (len(chosen) - 1)
    return reference.Row(
        chosen=chosen,
        chosen_answer=no_prefix + example.chosen_mask,
        nll=full if method.nll_tokens is NllTokens.FULL else response,
        rejected=example.prefix + (example.rejected or []),
        rejected_answer=no_prefix + example.rejected_mask,
        reference=example.reference or (0.0, 0.0),
    )


def assert_equal(
    model: Policy, examples: Sequence[Example], method: Method, way: Way | None = None
) -> None:
    """Gate 1: the loss to 1e-6, each gradient tensor to 1e-5 (see `worst_gradient_error`)."""
    loss, gradients = ours(model, examples, method, way)
    expected_loss, expected = by_the_book(model, examples, method)
    assert abs(loss - expected_loss) <= 1e-6 * abs(expected_loss)
    error, where = reference.worst_gradient_error(gradients, expected)
    assert error <= 1e-5, f"gradient of {where} is off by {error:.1e}"


def assert_as_exact_as_fp32(
    model: Policy, examples: Sequence[Example], method: Method, way: Way
) -> None:
    """Gate 1 for a random step: for some steps fp32 can't reach its bounds.

    If the reference misses them in fp32, our error may be up to four times the reference's.
    """
    loss, gradients = ours(model, examples, method, way)
    true_loss, true = by_the_book(model, examples, method)
    error, _ = reference.worst_gradient_error(gradients, true)
    if abs(loss - true_loss) <= 1e-6 * abs(true_loss) and error <= 1e-5:
        return
    fp32_loss, fp32 = by_the_book(model, examples, method, torch.float32)
    loss_bound = max(1e-6 * abs(true_loss), 4 * abs(fp32_loss - true_loss))
    assert abs(loss - true_loss) <= loss_bound
    assert error <= max(1e-5, 4 * reference.worst_gradient_error(fp32, true)[0])


def adapted(model: PreTrainedModel, method: Method) -> Policy:
    """`model` as a run would train it; an adapter is not zero, so that all gradients exist."""
    if method.scores:
        model = with_score(model, seed=0, pad_token_id=0)
    prepare(model)
    if method.tuning == "full":
        return model
    lora = with_lora(model, method, seed=0)
    torch.manual_seed(1)
    for name, weight in trainable(lora).items():
        if "lora_B" in name:
            weight.data.normal_(std=0.1)
    return lora

"""Examples to steps, steps to micro-batches, micro-batches to tensors.

Knows lengths and layout, not models. A pair's layout is [prefix | chosen | rejected], or unshared
[prefix | chosen][prefix | rejected]; positions of both tails start at the prefix's length.

Shapes: T packed tokens, L labelled tokens (predicted ones), B pairs, S = 2B sequences: 2b is the
chosen side of pair b, 2b + 1 its rejected side.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from orpo.contract.hyperparameters import NllTokens
from orpo.tokens.tokenize import Example


@dataclass(frozen=True)
class Segment:
    """One sequence's place among the packed tokens: its prefix's range and its tail's."""

    sequence: int
    prefix_start: int
    prefix_end: int
    tail_start: int
    tail_end: int

    @property
    def contiguous(self) -> bool:
        """Whether the tail follows the prefix directly; otherwise it shares another's prefix."""
        return self.prefix_end == self.tail_start


@dataclass(frozen=True)
class Batch:
    """A micro-batch as packed tensors; see the module's legend for the shapes.

    `reference_S` holds each answer's summed log-prob under the reference, if there is one.
    `predictor_L` is the index in T of the hidden state that predicts `target_L`. A shift by one
    would be wrong, because a shared prefix's last token predicts two targets. `sequence_L` is the
    owner in S. `in_answer_L` marks tokens of the length-averaged log-prob (the odds), `in_nll_L`
    tokens of the likelihood term (chosen side only).
    """

    lines: list[int]
    n_pairs: int
    has_rejected: bool
    segments: list[Segment]
    input_ids_T: Tensor
    position_ids_T: Tensor
    predictor_L: Tensor
    target_L: Tensor
    sequence_L: Tensor
    in_answer_L: Tensor
    in_nll_L: Tensor
    reference_S: Tensor | None = None

    @property
    def ends_S(self) -> Tensor:
        """The place of each sequence's last token, which ends its last turn, in T."""
        ends = [segment.tail_end - 1 for segment in self.segments]
        return torch.tensor(ends, device=self.input_ids_T.device)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on `device`."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Batch(**{**vars(self), **tensors})


def plan(tokens_E: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The steps of one epoch over E examples as lists of their indices, shuffled by (seed, epoch).

    One step is shorter if `batch_size` does not divide the number of examples; none is left out.
    The first epoch begins with the steps that need most memory (`heaviest`): a device that is too
    small fails in the first seconds.
    """
    order = list(range(len(tokens_E)))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311  not a secret
    steps = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    if epoch == 0 and steps:
        first = heaviest(tokens_E, steps)
        steps = first + [step for step in steps if step not in first]
    return steps


def heaviest(tokens_E: Sequence[int], steps: Sequence[list[int]]) -> list[list[int]]:
    """The step with the longest example and, if it is another one, the step with most tokens.

    An example larger than the token budget is a forward pass of its own; otherwise passes are as
    large as a step fills them. The choice does not depend on the budget, so a run resumed with half
    the budget keeps its order.
    """
    sizes = [sorted((tokens_E[index] for index in step), reverse=True) for step in steps]
    longest = sizes.index(max(sizes))
    fullest = max(range(len(steps)), key=lambda at: (sum(sizes[at]), at == longest))
    return [steps[at] for at in dict.fromkeys((longest, fullest))]


def micro_batches(
    examples: Sequence[Example], token_budget: int, prefix_sharing: bool, rejected: bool = True
) -> list[list[int]]:
    """Indices of `examples` in groups of at most `token_budget` tokens (first fit, longest first).

    An example longer than the budget stands alone. The grouping changes speed, never results.
    """
    sizes = [example.n_computed(rejected=rejected, shared=prefix_sharing) for example in examples]
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda at: (-sizes[at], at)):
        fit = next((g for g, left in enumerate(room) if sizes[index] <= left), None)
        if fit is None:
            groups.append([index])
            room.append(token_budget - sizes[index])
        else:
            groups[fit].append(index)
            room[fit] -= sizes[index]
    return groups


def collate(
    examples: Sequence[Example],
    prefix_sharing: bool,
    nll_tokens: NllTokens = NllTokens.RESPONSE,
    rejected: bool = True,
) -> Batch:
    """Pack examples into one batch; `rejected=False` leaves the rejected sides out.

    Raises ValueError if only some examples have a rejected side and it is not left out, or if an
    answer has no tokens.
    """
    rejected = rejected and examples[0].rejected is not None
    if rejected and any(example.rejected is None for example in examples):
        raise ValueError("Pairs and single answers can't share a batch; batch them apart.")
    ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    labels: list[_Label] = []
    for pair, example in enumerate(examples):
        n_prefix, start = len(example.prefix), 0
        for side, tail in enumerate((example.chosen, example.rejected or [])[: 1 + rejected]):
            if not tail:  # the mean log-prob would be 0 / 0
                raise ValueError(f"Line {example.line} has an answer of no tokens; leave it out.")
            if side == 0 or not prefix_sharing:
                start = len(ids)
                ids += example.prefix
                positions += range(n_prefix)
            end = len(ids)
            segment = Segment(2 * pair + side, start, start + n_prefix, end, end + len(tail))
            ids += tail
            positions += range(n_prefix, n_prefix + len(tail))
            segments.append(segment)
            labels += _labels(example, segment, nll_tokens)
    columns = list(zip(*labels, strict=True))
    return Batch(
        lines=[example.line for example in examples],
        n_pairs=len(examples),
        has_rejected=rejected,
        segments=segments,
        input_ids_T=torch.tensor(ids),
        position_ids_T=torch.tensor(positions),
        predictor_L=torch.tensor(columns[0]),
        target_L=torch.tensor(columns[1]),
        sequence_L=torch.tensor(columns[2]),
        in_answer_L=torch.tensor(columns[3]),
        in_nll_L=torch.tensor(columns[4]),
        reference_S=_references(examples) if rejected else None,
    )


def _references(examples: Sequence[Example]) -> Tensor | None:
    """The reference's log-probs of both sides, [S]; None unless every example has them."""
    known = [example.reference for example in examples if example.reference is not None]
    if len(known) < len(examples):
        return None
    return torch.tensor(known, dtype=torch.float64).reshape(-1)


class _Label(NamedTuple):
    predictor: int
    target: int
    sequence: int
    in_answer: bool
    in_nll: bool


def _labels(example: Example, segment: Segment, nll_tokens: NllTokens) -> Iterator[_Label]:
    """The predicted tokens of one sequence; its first token has no predictor."""
    chosen = segment.sequence % 2 == 0
    tail = example.chosen if chosen else example.rejected or []
    mask = example.prefix_mask + (example.chosen_mask if chosen else example.rejected_mask)
    places = [
        *range(segment.prefix_start, segment.prefix_end),
        *range(segment.tail_start, segment.tail_end),
    ]
    n_prefix = len(example.prefix)
    for at, target in enumerate(example.prefix + tail):
        in_answer = mask[at] and at >= n_prefix
        in_nll = chosen and (mask[at] or nll_tokens is NllTokens.FULL)
        if at > 0 and (in_answer or in_nll):
            yield _Label(places[at - 1], target, segment.sequence, in_answer, in_nll)

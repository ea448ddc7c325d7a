"""The policy's answers to a batch of prompts, and what is measured of them before an update.

Knows generation, the policy, its reference and a reward model; knows nothing of losses, steps or
files. Ranks share the work and all get the whole result.

Shapes: P answers, N tokens of the longest one, L labelled tokens of a micro-batch.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from orpo.contract.hyperparameters import NllTokens, Tuning
from orpo.contract.on_policy import OnPolicy
from orpo.contract.spec import RunSpec
from orpo.model import tempered
from orpo.model.policy import Policy, load_registered, why_unpacked
from orpo.process.parallel import Single, spread
from orpo.process.stopping import Stopping
from orpo.run import generation
from orpo.strategies.strategy import Replicated
from orpo.tokens.example import Example
from orpo.tokens.pack import Batch
from orpo.tokens.work import Work, deal, token_budget

# Tokens of prompts and answers that are generated together, in token budgets of a training pass:
# nothing is kept for a backward pass.
BUDGETS_AT_ONCE = 8

# The scores of answers by a reward model, fp64 [P].
Scorer = Callable[[Sequence[Example]], Tensor]


@dataclass(frozen=True)
class Rollouts:
    """Answers and what was measured of them; fp64 [P] and [P, N], on the CPU.

    An answer is the `chosen` of its example, whose prefix is the prompt; it includes the token that
    ends it, unless it was cut off. `mask_PN` is True at its tokens. `logps_PN` are those of the
    policy that gave the answers, `reference_PN` those of the untrained policy.
    """

    answers: list[Example]
    cut_off_P: Tensor
    mask_PN: Tensor
    scores_P: Tensor
    logps_PN: Tensor
    reference_PN: Tensor
    values_PN: Tensor


class _Requested(StoppingCriteria):
    """Ends a generation when the run was asked to stop. (A limit of time would change results.)"""

    def __init__(self, stopping: Stopping):
        self.stopping = stopping

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002  the interface's names
        return torch.full((len(input_ids),), self.stopping.requested, device=input_ids.device)


class Actor:
    """The policy as the one that answers, with the models that judge its answers."""

    def __init__(
        self,
        strategy: Replicated,
        tokenizer: PreTrainedTokenizerBase,
        method: OnPolicy,
        max_length: int,
        scorer: Scorer,
        stopping: Stopping,
    ) -> None:
        self.strategy, self.group, self.stopping = strategy, strategy.group, stopping
        # Only answers are labelled, whatever the likelihood term of pairs covers.
        self.method = method.model_copy(update={"nll_tokens": NllTokens.RESPONSE})
        self.max_length, self.scorer = max_length, scorer
        self.config = generation.settings(strategy.policy, tokenizer, method.max_new_tokens)
        self.reference = _frozen(strategy.spec, self.group)

    # --- answers ----------------------------------------------------------------------------------

    def answers(self, prompts: Sequence[Example], keys: Sequence[str]) -> list[Example] | None:
        """An answer to each prompt, drawn with the random numbers of its key; None if a rank was
        asked to stop.
        """
        tokens_PN = torch.zeros(len(prompts), self.method.max_new_tokens, dtype=torch.int64)
        sizes_P = torch.zeros(len(prompts), dtype=torch.int64)
        costs = [len(prompt.prefix) for prompt in prompts]
        for some, n_new in self._together(costs, spread(costs, self.group.world)[self.group.rank]):
            if self.stopping.requested:
                break
            for at, answer in zip(some, self._answer(prompts, keys, some, n_new), strict=True):
                sizes_P[at] = len(answer)
                tokens_PN[at, : len(answer)] = torch.tensor(answer)
        if self.group.any(self.stopping.requested):
            return None
        sizes = self.group.sum(sizes_P).tolist()
        rows = self.group.sum(tokens_PN).tolist()
        return [
            _answered(prompt, row[:size])
            for prompt, row, size in zip(prompts, rows, sizes, strict=True)
        ]

    def _together(self, costs: list[int], share: list[int]) -> Iterator[tuple[list[int], int]]:
        """Places of prompts to answer together, the longest first, and the most tokens of their
        answers: fewer where the prompt leaves less room within the longest sequence.
        """
        by_room = defaultdict[int, list[int]](list)
        for at in sorted(share, key=lambda at: (-costs[at], at)):
            by_room[min(self.method.max_new_tokens, self.max_length - costs[at])].append(at)
        room = BUDGETS_AT_ONCE * token_budget(self.method, self.group)
        if why_unpacked(self.strategy.policy):
            room = 0  # such a model may read padding
        for n_new, places in by_room.items():
            for some in generation.together([costs[at] for at in places], n_new, room):
                yield [places[index] for index in some], n_new

    def _answer(
        self, prompts: Sequence[Example], keys: Sequence[str], some: list[int], n_new: int
    ) -> Iterator[list[int]]:
        method = self.method
        uniforms = [_uniforms(keys[at], n_new) for at in some]
        config = generation.at_most(self.config, n_new)
        drawn = generation.Drawn(torch.stack(uniforms).to(self.group.device), method.temperature)
        asked = [prompts[at].prefix for at in some]
        stop = _Requested(self.stopping)
        found = self.strategy(generation.answer, asked, config, method.precision, stop, drawn)
        ends = generation.ends(self.config)
        for answer in found:
            at_end = next((n for n, token in enumerate(answer) if token in ends), len(answer))
            yield answer[: at_end + 1]

    # --- measuring --------------------------------------------------------------------------------

    def measure(self, answers: list[Example], order: Sequence[list[int]]) -> Rollouts:
        """Everything that is known of the answers before an update.

        `order` are the places of answers in the minibatches of the first pass. The policy's
        log-probs are measured in the same micro-batches as in that pass, so that they are the same
        bits until the first update.
        """
        n_longest = max(len(answer.chosen) for answer in answers)
        sizes_P = torch.tensor([len(answer.chosen) for answer in answers])
        mask_PN = torch.arange(n_longest) < sizes_P[:, None]
        ends = generation.ends(self.config)
        cut_off = [answer.chosen[-1] not in ends for answer in answers]
        logps_PN, values_PN = torch.zeros(2, len(answers), n_longest, dtype=torch.float64)
        reference_PN = torch.zeros_like(logps_PN)
        precision, temperature = self.method.precision, self.method.temperature
        # Without gradients, some modules compute in another way, and other bits.
        with torch.enable_grad():
            for places in order:
                for work, batch in self.works(answers, places):
                    cells = cells_of(work)
                    logps_L, values_L = self.strategy(
                        tempered.logps_and_values, batch, precision, temperature
                    )
                    logps_PN[cells] = logps_L.detach().double().cpu()
                    values_PN[cells] = values_L.detach().double().cpu()
        with torch.no_grad():
            for work, batch in self.works(answers, range(len(answers))):
                of_base_L = self._reference_logps(batch)
                reference_PN[cells_of(work)] = of_base_L.double().cpu()
        return Rollouts(
            answers=answers,
            cut_off_P=torch.tensor(cut_off),
            mask_PN=mask_PN,
            scores_P=self.scorer(answers),
            logps_PN=self.group.sum(logps_PN),
            reference_PN=self.group.sum(reference_PN),
            values_PN=self.group.sum(values_PN),
        )

    def works(
        self, answers: Sequence[Example], places: Sequence[int]
    ) -> Iterator[tuple[Work, Batch]]:
        """This rank's micro-batches of the answers at `places`, whose work names these places; and
        their batch on the device.
        """
        some = [answers[at] for at in places]
        for work in deal(some, self.method, self.group, rejected=False):
            mine = replace(work, places=[places[at] for at in work.places])
            yield mine, work.batch.to(self.group.device)

    def _reference_logps(self, batch: Batch) -> Tensor:
        precision, temperature = self.method.precision, self.method.temperature
        if self.reference is not None:
            return tempered.logps(self.reference, batch, precision, temperature)
        with tempered.without_adapter(self.strategy.policy):
            return self.strategy(tempered.logps, batch, precision, temperature)


def key(seed: int, *parts: object) -> str:
    """The key of random numbers that belong to `parts` of a run, such as a step and a line."""
    return "/".join(map(str, (seed, *parts)))


def random_of(name: str) -> torch.Generator:
    """A generator on the CPU that depends on the key alone."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


def cells_of(work: Work) -> tuple[Tensor, Tensor]:
    """The row and the column in [P, N] of each labelled token of a micro-batch, [L] each."""
    pair_L = work.batch.sequence_L // 2  # in ascending order
    column_L = torch.arange(len(pair_L)) - torch.searchsorted(pair_L, pair_L)
    return torch.tensor(work.places)[pair_L], column_L


def _uniforms(name: str, n: int) -> Tensor:
    return torch.rand(n, generator=random_of(name), dtype=torch.float64)


def _answered(prompt: Example, answer: list[int]) -> Example:
    return Example(
        line=prompt.line,
        prefix=prompt.prefix,
        chosen=answer,
        rejected=None,
        prefix_mask=[False] * len(prompt.prefix),
        chosen_mask=[True] * len(answer),
        rejected_mask=[],
        truncated=prompt.truncated,
    )


def _frozen(spec: RunSpec, group: Single) -> Policy | None:
    """A second copy of the base if all weights are trained; otherwise the adapter is turned off."""
    if spec.method.tuning is not Tuning.FULL:
        return None
    frozen = load_registered(spec, spec.method.precision).eval()
    torch.nn.Module.to(frozen, group.device)
    return frozen

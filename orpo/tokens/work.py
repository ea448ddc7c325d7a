"""One rank's share of some examples, as micro-batches.

Knows how examples are dealt and packed; knows nothing of models or of the objective.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from orpo.contract.hyperparameters import Hyperparameters
from orpo.process.parallel import Single, spread
from orpo.tokens.pack import Batch, collate, micro_batches
from orpo.tokens.tokenize import Example

# Tokens in one forward pass by kind of device. On most CPUs more tokens need more memory and are
# not faster (SmolLM2-135M, full: 5.1 GB with 2,048, 4.2 GB with 1,024, equally fast). With AMX a
# matrix product of 980 rows has half the rate of one of 2,000, and steps were a tenth shorter with
# 2,048. A GPU is fast only when it is full.
BUDGETS = {"cpu": 1024, "amx": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Work:
    """A micro-batch, and the places of its examples among those that were dealt.

    One with `counts` False is computed only so that the ranks stay in lockstep; its result is
    discarded.
    """

    places: list[int]
    batch: Batch
    counts: bool = True


def deal(
    examples: Sequence[Example],
    method: Hyperparameters,
    parallel: Single,
    *,
    rejected: bool,
    lockstep: bool = False,
) -> Iterator[Work]:
    """This rank's micro-batches of `examples`; none if there are more ranks than examples.

    `rejected=False` leaves the rejected sides out; otherwise rows with and without one are batched
    apart. In `lockstep` all ranks get as many as the rank with most.
    """
    costs = [
        example.n_computed(rejected=rejected, shared=method.prefix_sharing) for example in examples
    ]
    shares = spread(costs, parallel.world)
    budget = token_budget(method, parallel)
    for places in _packed(examples, shares[parallel.rank], method, budget, rejected=rejected):
        yield _work(examples, places, method, rejected=rejected)
    if lockstep and examples:
        sizes = [
            len(_packed(examples, share, method, budget, rejected=rejected)) for share in shares
        ]
        shortest = costs.index(min(costs))
        for _ in range(max(sizes) - sizes[parallel.rank]):
            yield replace(_work(examples, [shortest], method, rejected=rejected), counts=False)


def token_budget(method: Hyperparameters, parallel: Single) -> int:
    """Tokens in one forward pass: the spec's value, or the default for the device."""
    kind = parallel.device.type
    if kind == "cpu" and torch.cpu.get_capabilities().get("amx_bf16"):
        kind = "amx"
    return method.token_budget or BUDGETS[kind]


def _packed(
    examples: Sequence[Example],
    share: list[int],
    method: Hyperparameters,
    budget: int,
    *,
    rejected: bool,
) -> list[list[int]]:
    """The places of each micro-batch of a share."""
    packed: list[list[int]] = []
    for kind in (True, False):
        places = [at for at in share if (examples[at].rejected is not None) is kind]
        groups = micro_batches(
            [examples[at] for at in places],
            budget,
            method.prefix_sharing,
            rejected and kind,
        )
        packed += [[places[at] for at in group] for group in groups]
    return packed


def _work(
    examples: Sequence[Example], places: list[int], method: Hyperparameters, *, rejected: bool
) -> Work:
    mine = [examples[at] for at in places]
    return Work(places, collate(mine, method.prefix_sharing, method.nll_tokens, rejected))

"""One rank's share of some examples, as micro-batches.

Knows how examples are dealt and packed; knows nothing of models or of the objective.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orpo.hyperparameters import Hyperparameters
from orpo.pack import Batch, collate, micro_batches
from orpo.parallel import Single
from orpo.tokenize import Example


@dataclass(frozen=True)
class Work:
    """A micro-batch, and where its examples stand among those that were dealt."""

    places: list[int]
    batch: Batch


def deal(
    examples: Sequence[Example], method: Hyperparameters, parallel: Single, *, rejected: bool
) -> Iterator[Work]:
    """This rank's micro-batches of `examples`; there are none where there are more ranks.

    `rejected=False` leaves the rejected sides out; otherwise rows with and without one are
    batched apart.
    """
    share = parallel.share([example.n_tokens for example in examples])
    for kind in (True, False):
        places = [at for at in share if (examples[at].rejected is not None) is kind]
        yield from _pack(examples, places, method, rejected=rejected and kind)


def _pack(
    examples: Sequence[Example], places: list[int], method: Hyperparameters, *, rejected: bool
) -> Iterator[Work]:
    mine = [examples[at] for at in places]
    groups = micro_batches(mine, method.token_budget, method.prefix_sharing, rejected)
    for group in groups:
        batch = collate(
            [mine[at] for at in group], method.prefix_sharing, method.nll_tokens, rejected
        )
        yield Work([places[at] for at in group], batch)

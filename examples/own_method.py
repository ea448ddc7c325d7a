"""Trains with a preference method of your own: here a hinge on the margin of the two answers.

    .venv/bin/python examples/own_method.py MODEL_FOLDER PAIRS OUT margin=2.0

To offer a method to jobs and to `oddsmith train`, put its class into orpo/contract/methods.py and
name it in `Method` there.
"""

import sys
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from train_without_server import prepare, read, train_and_print

from orpo.contract.methods import Preference, parse_method
from orpo.contract.numbers import PairNumbers
from orpo.process import parallel
from orpo.process.stopping import Stopping
from orpo.run.journal import Journal
from orpo.run.train import Run


class Hinge(Preference):
    """L = NLL(chosen) + max(0, margin - (log p(chosen) - log p(rejected))), arXiv 2305.10425, here
    with length-averaged log-probs.
    """

    type: Literal["hinge"] = "hinge"
    margin: float = Field(default=1.0, gt=0, le=100, description="In nats a token.")
    nll_weight: ClassVar[float] = 1.0

    def preference(self, pairs: PairNumbers) -> Tensor:
        """The hinge of each pair, [B]; its mean joins the loss."""
        return (self.margin - (pairs.logps_chosen - pairs.logps_rejected)).clamp(min=0)


def main(model: str, pairs: str, out: str, *settings: str) -> int:
    spec = prepare(model, pairs, out, parse_method("orpo", {}))
    # A new spec accepts only the built-in methods; a copy is not validated.
    spec = spec.model_copy(update={"method": Hinge(**read(settings))})
    with Journal(Path(out)) as journal:
        return train_and_print(Run(spec, Path(out), parallel.Single(), journal, Stopping()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 3 else __doc__)

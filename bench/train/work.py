"""The input of both engines: a model, pairs in a fixed order, and the size of steps.

The first `warmup` steps are not timed. Knows neither engine.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PAIRS_A_STEP = 4
MAX_LENGTH = 1024
LAMBDA = 0.1


@dataclass(frozen=True)
class Work:
    """One training to time; `pairs` is a file of normalised rows, `steps` includes the warm-up."""

    model: str
    pairs: str
    tuning: str
    learning_rate: float
    steps: int
    max_length: int = MAX_LENGTH
    pairs_a_step: int = PAIRS_A_STEP
    lambda_: float = LAMBDA
    rank: int = 16
    alpha: int = 32
    warmup: int = 1
    token_budget: int | None = None  # of our engine; None: the product's default on this device
    peer_pairs: int = 2  # of the tuned peer, in one forward pass

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Work":
        return cls(**json.loads(path.read_text()))

    def rows(self) -> list[dict[str, Any]]:
        """The pairs in their order, as many as the steps need."""
        lines = Path(self.pairs).read_text().splitlines()
        return [json.loads(line) for line in lines[: self.steps * self.pairs_a_step]]

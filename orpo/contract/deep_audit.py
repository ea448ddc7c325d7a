"""A deep audit: the settings of its adapters, and what it says of a file and of each pair.

Imports no torch: the API, the command line and the core use it.
"""

from enum import StrEnum
from typing import Any

METHOD = "dpo"
# `bench/deep_audit.py` measures what they find; docs/data.md has its figures.
HYPERPARAMETERS: dict[str, Any] = {
    "n_epochs": 1.0,
    "batch_size": 4,
    "learning_rate": 5e-4,
    "lora_rank": 8,
    "lora_alpha": 16.0,
    "max_length": 1024,
    "overlong": "truncate_prompt",
    "held_out_fraction": 0.0,
}


# Rounds of splitting the pairs, and the parts of each.
ROUNDS, N_PARTS = 1, 2


class Opinion(StrEnum):
    """What the audit says of a pair. The first two are findings, of which a recipe can drop the
    rows.
    """

    LIKELY_SWAPPED = "likely_swapped"
    UNCLEAR = "unclear"
    SUPPORTED = "supported"


FINDINGS = (Opinion.LIKELY_SWAPPED, Opinion.UNCLEAR)

"""The suites by name: what each needs to be run. Scoring is in `evals`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Need(StrEnum):
    """Whether a part of the request is required."""

    NO = "no"
    OPTIONAL = "optional"
    YES = "yes"


@dataclass(frozen=True)
class Suite:
    """What a suite measures and needs. `metrics` are the names in its scores and in gates."""

    name: str
    title: str
    measures: str
    metrics: tuple[str, ...]
    judge: Need
    baseline: Need
    # Sampling unless the request says otherwise.
    sampling: dict[str, Any]
    # The sha256 of the official prompt file; None where any file will do.
    official_sha256: str | None = None


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="ifeval",
            title="IFEval",
            measures="Which instructions that a program can check an answer follows.",
            metrics=("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose"),
            judge=Need.NO,
            baseline=Need.OPTIONAL,
            sampling={"temperature": 0.0, "max_tokens": 1024},
        ),
        Suite(
            name="custom",
            title="Your prompts",
            measures="How often a judge prefers the model's answer to the baseline's.",
            metrics=("win_rate",),
            judge=Need.YES,
            baseline=Need.YES,
            sampling={"temperature": 0.0, "max_tokens": 512},
        ),
        Suite(
            name="reward",
            title="Reward",
            measures="The rewards that a reward model gives to the answers.",
            metrics=("reward", "win_rate"),
            judge=Need.YES,
            baseline=Need.OPTIONAL,
            sampling={"temperature": 0.0, "max_tokens": 512},
        ),
    )
}

"""The suites by name: what each needs to be run. Scoring is in `evals`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Side = Literal["model", "baseline"]
# Of a pair in a file.
Answer = Literal["chosen", "rejected"]

SIDES: tuple[Side, Side] = ("model", "baseline")
ANSWERS: tuple[Answer, Answer] = ("chosen", "rejected")
LENGTH_CONTROLLED = "win_rate_length_controlled"
# Metrics of two answers: how often the model's is preferred to the baseline's.
OVER_BASELINE = frozenset({"win_rate", LENGTH_CONTROLLED})
# Metrics of all prompts together: no prompt has a value of its own.
OF_ALL_PROMPTS = frozenset({"across_input"})


class Need(StrEnum):
    """Whether a part of the request is required."""

    NO = "no"
    OPTIONAL = "optional"
    YES = "yes"


class Judging(StrEnum):
    """What a judge does: nothing, compare two answers, or give each answer a number.

    `LIKELIHOODS`: there is no judge and no model is asked. The models themselves say how likely
    both answers of a pair in the file are.
    """

    NONE = "none"
    PAIRS = "pairs"
    RATINGS = "ratings"
    LIKELIHOODS = "likelihoods"


class Slot(NamedTuple):
    """A judgment that an item has: which turn is judged, from 0, and which answers are shown, in
    this order: both sides', or that of one. Of a likelihood, `shown` is the side that gives it, and
    `answer` which answer of the pair it is about.
    """

    turn: int
    shown: tuple[Side, ...]
    answer: Answer | None = None


@dataclass(frozen=True)
class Suite:
    """What a suite measures and needs. `metrics` are the names in its scores and in gates."""

    name: str
    title: str
    measures: str
    metrics: tuple[str, ...]
    judge: Need
    baseline: Need
    judging: Judging
    # Sampling unless the request says otherwise.
    sampling: dict[str, Any]
    # Fields of a row of the file that are kept with its item: what scoring and judging need.
    fields: tuple[str, ...] = ()
    # The field with answers that are the baseline where the request names no other.
    outputs: str | None = None
    # The sha256 of the official prompt file; None where any file will do, or none is known.
    official_sha256: str | None = None
    # How many answers each prompt gets, unless the request says otherwise; None: one, always. Such
    # answers are turned into vectors.
    samples: int | None = None
    # What a lower value of its metrics means, where higher is not better.
    lower_is: str | None = None

    @property
    def reads_pairs(self) -> bool:
        """Whether it is about the pairs of a file; otherwise models are asked its prompts."""
        return self.judging is Judging.LIKELIHOODS

    def is_scored(self, *, has_judge: bool) -> bool:
        """Whether it has scores once all answers are there; else they wait for people, who vote
        blind.
        """
        return has_judge or self.judge is not Need.OPTIONAL

    def slots(self, *, turns: int, orders: int, has_baseline: bool) -> list[Slot]:
        """The judgments of an item with so many turns, in the order of its `judgments`.

        Two answers are compared once in each of the orders, after the last turn. A rating is given
        to each turn of the model, then to each turn of the baseline; so is a likelihood, to the
        chosen and to the rejected answer.
        """
        last = turns - 1
        sides: list[Side] = ["model", "baseline"] if has_baseline else ["model"]
        if self.judging is Judging.PAIRS:
            shown: list[tuple[Side, ...]] = [SIDES, SIDES[::-1]]
            return [Slot(last, sides) for sides in shown[:orders]] if has_baseline else []
        if self.judging is Judging.RATINGS:
            return [Slot(turn, (side,)) for side in sides for turn in range(turns)]
        if self.judging is Judging.LIKELIHOODS:
            return [Slot(0, (side,), answer) for side in sides for answer in ANSWERS]
        return []


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
            judging=Judging.NONE,
            sampling={"temperature": 0.0, "max_tokens": 1024},
            fields=("key", "instruction_id_list", "kwargs"),
            official_sha256="67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
        ),
        Suite(
            name="held_out",
            title="Held-out pairs",
            measures="How much likelier the chosen answers of pairs are to the model than the "
            "rejected ones.",
            metrics=("accuracy", "log_odds_ratio", "margin", "logps_chosen", "logps_rejected"),
            judge=Need.NO,
            baseline=Need.OPTIONAL,
            judging=Judging.LIKELIHOODS,
            sampling={},
        ),
        Suite(
            name="custom",
            title="Your prompts",
            measures="How often the model's answer is preferred to the baseline's: by a judge, or, "
            "without one, by people who vote blind.",
            metrics=("win_rate",),
            judge=Need.OPTIONAL,
            baseline=Need.YES,
            judging=Judging.PAIRS,
            sampling={"temperature": 0.0, "max_tokens": 512},
        ),
        Suite(
            name="reward",
            title="Reward",
            measures="The rewards that a reward model gives to the answers.",
            metrics=("reward", "win_rate"),
            judge=Need.YES,
            baseline=Need.OPTIONAL,
            judging=Judging.RATINGS,
            sampling={"temperature": 0.0, "max_tokens": 512},
        ),
        Suite(
            name="alpaca_eval",
            title="AlpacaEval",
            measures="How often a judge prefers the answer to the reference answer in the file.",
            metrics=("win_rate", LENGTH_CONTROLLED),
            judge=Need.YES,
            baseline=Need.OPTIONAL,
            judging=Judging.PAIRS,
            sampling={"temperature": 0.7, "max_tokens": 2048},
            fields=("output", "generator"),
            outputs="output",
        ),
        Suite(
            name="mt_bench",
            title="MT-Bench",
            measures="A judge's ratings, from 1 to 10, of conversations of two turns.",
            metrics=("rating", "rating_turn_1", "rating_turn_2"),
            judge=Need.YES,
            baseline=Need.OPTIONAL,
            judging=Judging.RATINGS,
            # Without a temperature, each question gets that of its category, as officially.
            sampling={"max_tokens": 1024},
            fields=("question_id", "reference"),
            official_sha256="119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
        ),
        Suite(
            name="diversity",
            title="Diversity",
            measures="How alike several answers to a prompt are, and answers to different prompts.",
            metrics=("per_input", "across_input"),
            judge=Need.NO,
            baseline=Need.OPTIONAL,
            judging=Judging.NONE,
            sampling={"temperature": 1.0, "max_tokens": 512},
            samples=5,
            lower_is="more diverse",
        ),
    )
}

# A judge against people's labels: the answers are in the file, and no model is asked for them.
AGREEMENT = Suite(
    name="agreement",
    title="Agreement with people",
    measures="How often a judge names the answer that people prefer.",
    metrics=("average", "both", "equal", "decided"),
    judge=Need.YES,
    baseline=Need.NO,
    judging=Judging.PAIRS,
    sampling={},
)


def suite_of(name: str) -> Suite:
    """Return a suite by its name, the agreement with people included. Raises KeyError."""
    return AGREEMENT if name == AGREEMENT.name else SUITES[name]

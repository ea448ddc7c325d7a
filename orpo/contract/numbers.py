"""What a run measures: the numbers of a pair, and the names of the series that charts show.

Imports no torch: `Tensor` is named for type checkers only.

Shapes: B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Series(StrEnum):
    """The series of a run, except the quantiles (`margin`) and the shares of time (`share`)."""

    LOSS = "loss"
    LOSS_NLL = "loss/nll"
    LOSS_PREFERENCE = "loss/preference"
    LOSS_OR = "loss/or"
    OR_SHARE = "or_share"
    LOGPS_CHOSEN = "logps/chosen"
    LOGPS_REJECTED = "logps/rejected"
    LOG_ODDS_RATIO = "log_odds_ratio"
    ACCURACY = "accuracy"
    ACCURACY_LOW = "accuracy/low"
    ACCURACY_HIGH = "accuracy/high"
    REWARD_CHOSEN = "reward/chosen"
    REWARD_REJECTED = "reward/rejected"
    REWARD_MARGIN = "reward/margin"
    GAIN_CHOSEN = "gain/chosen"
    GAIN_REJECTED = "gain/rejected"
    GAIN_ACCURACY = "gain/accuracy"
    REWARD_MEAN = "reward/mean"
    REWARD_SD = "reward/sd"
    KL = "kl"
    KL_WEIGHT = "kl_weight"
    ENTROPY = "entropy"
    LOSS_POLICY = "loss/policy"
    LOSS_VALUE = "loss/value"
    CLIP_SHARE = "clip_share"
    LENGTH_ANSWER = "lengths/answer"
    CUT_OFF_SHARE = "cut_off_share"
    LENGTH_PROMPT = "lengths/prompt"
    LENGTH_CHOSEN = "lengths/chosen"
    LENGTH_REJECTED = "lengths/rejected"
    TRUNCATED_SHARE = "truncated_share"
    GRAD_NORM = "grad_norm"
    LR = "lr"
    EPOCH = "epoch"
    TRAINED_TOKENS = "trained_tokens"
    STEP_S = "step_s"
    TOKENS_PER_S = "tokens_per_s"
    PAIRS_PER_S = "pairs_per_s"
    MEM_PEAK_BYTES = "mem_peak_bytes"
    MFU = "mfu"


class Phase(StrEnum):
    """The phases into which a run's time is divided.

    A step on pairs has the first four; a step on a policy's own answers the next three.
    """

    DATA = "data"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    GENERATION = "generation"
    SCORING = "scoring"
    UPDATE = "update"
    EVALUATION = "evaluation"
    CHECKPOINT = "checkpoint"


def share(phase: Phase) -> str:
    """The series of a phase's share of the time since the last step, such as `share/data`."""
    return f"share/{phase}"


def margin(quantile: float) -> str:
    """The series of a quantile of the pairs' log odds ratios, such as `margin/p05`; of a reward
    model, of the differences of their rewards.
    """
    return f"margin/p{round(100 * quantile):02d}"


@dataclass(frozen=True)
class PairNumbers:
    """The numbers of each pair of a batch, [B] each, fp64.

    `nll_sum` in nats over `nll_tokens` tokens; `logps_*` are length-averaged, `gain_*` are summed
    over the answer, minus the reference's sum. `reward_*` are a reward model's; it has no
    log-probs. Values that need a rejected side, a reference, log-probs or rewards are NaN without
    them. `preference` is the method's own term.
    """

    nll_sum: Tensor
    nll_tokens: Tensor
    logps_chosen: Tensor
    logps_rejected: Tensor
    log_odds_ratio: Tensor
    loss_or: Tensor
    gain_chosen: Tensor
    gain_rejected: Tensor
    preference: Tensor
    reward_chosen: Tensor
    reward_rejected: Tensor


@dataclass(frozen=True)
class PairRecord:
    """A line of the journal's pairs: one held-out pair's numbers at the evaluation of a step.

    `line` is its line in the uploaded file; `nll` is the chosen answer's, in nats a token. A value
    is NaN where its side is missing. A reward model has no log-probs: its `log_odds_ratio` is the
    difference of the two rewards, its log odds that the chosen answer is the better one.
    """

    step: int
    line: int
    log_odds_ratio: float
    logps_chosen: float
    logps_rejected: float
    nll: float

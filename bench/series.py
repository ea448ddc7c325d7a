"""The series of an ORPO run, for benchmarks that write the same metrics as a run."""

from orpo.contract.numbers import QUANTILES, Series, margin

HELD_OUT = (
    Series.LOSS, Series.LOSS_NLL, Series.LOSS_OR, Series.OR_SHARE,
    Series.LOGPS_CHOSEN, Series.LOGPS_REJECTED, Series.LOG_ODDS_RATIO,
    Series.ACCURACY, Series.ACCURACY_LOW, Series.ACCURACY_HIGH, *map(margin, QUANTILES),
)  # fmt: skip
TRAIN = (
    *HELD_OUT, Series.GRAD_NORM, Series.LR, Series.EPOCH,
    Series.STEP_S, Series.TOKENS_PER_S, Series.PAIRS_PER_S,
)  # fmt: skip

"""A held-out pair under a model: log odds ratio, margin, and whether the chosen answer leads.

The log odds are those of the paper, equation 4: log(p / (1 - p)) of an answer's mean token
probability; the ratio is the chosen answer's minus the rejected one's.
"""

import math

# p is kept below 1 - 1e-7, as in training: above it, the odds are not finite in fp32.
MAX_LOGP = -1e-7


def numbers(chosen: float, rejected: float) -> dict[str, float]:
    """Return a pair's numbers by their metrics.

    `chosen` and `rejected` are the mean log-probabilities of a token of both answers, in nats.
    `accuracy` is 1 if the log odds ratio is positive, else 0.
    """
    ratio = log_odds(chosen) - log_odds(rejected)
    return {
        "accuracy": float(ratio > 0),
        "log_odds_ratio": ratio,
        "margin": chosen - rejected,
        "logps_chosen": chosen,
        "logps_rejected": rejected,
    }


def log_odds(logp: float) -> float:
    """Return log(p / (1 - p)) of a mean log-probability, which is not positive."""
    logp = min(logp, MAX_LOGP)
    near_one = logp > -math.log(2)
    complement = math.log(-math.expm1(logp)) if near_one else math.log1p(-math.exp(logp))
    return logp - complement

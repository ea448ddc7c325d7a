"""Which choices are probably wrong: the opinions of adapters, weighed with what the texts say.

Each pair is judged by a logistic regression that was fitted on other parts of the file. A feature
is the difference between the chosen and the rejected answer, so a swapped pair has the opposite
features, and there is no constant. Knows pairs and numbers; knows no tokens and no models.

Shapes: E pairs, F features, N pairs to fit on.
"""

import json
import math
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orpo.audit import noise
from orpo.audit.noise import Noise
from orpo.contract.deep_audit import Opinion
from orpo.rows.formats import Message, Pair

Floats = NDArray[np.float64]

HASHES = 1024  # features into which words and pairs of words are hashed
WORD = re.compile(r"\w+|[^\w\s]|\n")
ITEM = re.compile(r"^\s*(?:\d+\.|[-*])", re.MULTILINE)
# How much larger the weight of a hashed word may be than that of a number, which has a root mean
# square of 1.
WORDS_WEIGH = 4.0
REGRESSIONS = 5  # each judges a fifth of the pairs
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
INNER_PARTS = 4
PAIRS_AT_ONCE = 4096
FIT_AT_MOST = 10_000  # pairs; more would not change the weights of so few features
NEWTON_STEPS = 30
UNCLEAR = (0.4, 0.6)


@dataclass(frozen=True)
class Signals:
    """What was measured of E pairs.

    `base_E` is the base's log odds ratio of each choice, `sums_E2` its summed log-probs of both
    answers. `margins_E` is the mean margin of each choice under adapters that were not trained on
    that pair.
    """

    pairs: Sequence[Pair]
    base_E: Floats
    sums_E2: Floats
    margins_E: Floats


@dataclass(frozen=True)
class Judged:
    """The judgement of E pairs: the log odds that the given choice is right, [E]."""

    log_odds_E: Floats
    noise: Noise

    @property
    def wrong_E(self) -> Floats:
        """The probability that the choice is wrong, [E]."""
        return sigmoid(-self.log_odds_E)

    def order(self) -> list[int]:
        """The places of the pairs, the most suspicious first."""
        return np.argsort(self.log_odds_E, kind="stable").tolist()

    def opinions(self) -> list[Opinion]:
        """What is said of each pair."""
        wrong_E = self.wrong_E
        opinions_E = np.full(len(wrong_E), Opinion.SUPPORTED, dtype=object)
        opinions_E[(wrong_E > UNCLEAR[0]) & (wrong_E < UNCLEAR[1])] = Opinion.UNCLEAR
        opinions_E[noise.confident(1 - wrong_E)[1]] = Opinion.LIKELY_SWAPPED
        return opinions_E.tolist()

    def summary(self) -> dict[str, Any]:
        """The number of pairs of each opinion, the estimated share of wrong choices, and the share
        of choices that the judge shares.
        """
        opinions = self.opinions()
        agrees = noise.wilson(int((self.log_odds_E > 0).sum()), len(opinions))
        return {
            **{str(each): opinions.count(each) for each in Opinion},
            "noise_share": self.noise._asdict(),
            "accuracy": agrees._asdict(),
        }


def judge(signals: Signals, seed: int, tell: Callable[[], None] = lambda: None) -> Judged:
    """The judgement of each pair by a regression that was not fitted on it, nor on a pair with the
    same prompt. Calls `tell` after each of the `REGRESSIONS`.

    The margins of the pairs that it is fitted on come from adapters that may have seen the judged
    pair. Of these margins, the regression takes over a single weight.
    """
    numbers_EF = np.column_stack((_scaled(signals.margins_E), _numbers(signals)))
    features = Features(signals.pairs, numbers_EF)
    log_odds_E = np.zeros(len(signals.pairs))
    parts = split(prompts(signals.pairs), REGRESSIONS, f"{seed}/judge")
    for at, judged in enumerate(parts):
        others = sorted(place for part in parts if part is not judged for place in part)
        draw = np.random.default_rng([seed, at])
        weights_F = _fit_best(features.at(draw.permutation(others)[:FIT_AT_MOST]))
        for start in range(0, len(judged), PAIRS_AT_ONCE):
            some = judged[start : start + PAIRS_AT_ONCE]
            log_odds_E[some] = features.at(some) @ weights_F
        tell()
    return Judged(log_odds_E, noise.share(sigmoid(log_odds_E), seed))


def split(groups: Sequence[int], n_parts: int, seed: str) -> list[list[int]]:
    """Places of pairs in parts of about the same size, each ascending; `groups` has a number for
    each pair, and pairs of one group are in one part.

    If one group alone is larger than a part, groups are not kept together: parts would be too
    uneven to learn from.
    """
    sizes = Counter(groups)
    if max(sizes.values()) * n_parts > len(groups):
        groups = range(len(groups))
        sizes = Counter(groups)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)  # noqa: S311  not a secret
    order.sort(key=lambda group: -sizes[group])
    filled, part_of = [0] * n_parts, dict[int, int]()
    for group in order:
        part_of[group] = filled.index(min(filled))
        filled[part_of[group]] += sizes[group]
    parts: list[list[int]] = [[] for _ in range(n_parts)]
    for place, group in enumerate(groups):
        parts[part_of[group]].append(place)
    return parts


def prompts(pairs: Sequence[Pair]) -> list[int]:
    """A number for each pair, the same for pairs with the same prompt."""
    numbers: dict[str, int] = {}
    texts = (json.dumps(pair.prompt, sort_keys=True) for pair in pairs)
    return [numbers.setdefault(text, len(numbers)) for text in texts]


def sigmoid(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -log_odds))


# --- features -------------------------------------------------------------------------------------


def _numbers(signals: Signals) -> Floats:
    """The base's opinion and the differences in length and form, each with root mean square 1."""
    forms_E2F = np.array([[_form(text) for text in _answers(pair)] for pair in signals.pairs])
    sums_E = signals.sums_E2[:, 0] - signals.sums_E2[:, 1]
    return _scaled(np.column_stack((signals.base_E, sums_E, forms_E2F[:, 0] - forms_E2F[:, 1])))


@dataclass(frozen=True)
class Features:
    """The features of each pair; those of its words are made when they are needed, since all of
    them would not fit into memory.
    """

    pairs: Sequence[Pair]
    numbers_EF: Floats

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Floats:
        """The features of the pairs at these places, [N, F]."""
        words_NF = np.zeros((len(places), HASHES))
        for row, place in enumerate(places):
            chosen_F, rejected_F = map(_hashed, _answers(self.pairs[place]))
            words_NF[row] = WORDS_WEIGH * (chosen_F - rejected_F)
        return np.column_stack((self.numbers_EF[places], words_NF))


def _answers(pair: Pair) -> tuple[str, str]:
    return _text(pair.chosen), _text(pair.rejected or [])


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(str(message["content"] or "") for message in messages)


def _form(text: str) -> list[float]:
    words, n = text.split(), len(text) + 1
    marks = [100 * text.count(mark) / n for mark in ("\n", "?", "!")]
    return [
        math.log(n),
        math.log(len(words) + 1),
        math.sqrt(len(ITEM.findall(text))),
        float("```" in text),
        len(set(words)) / (len(words) + 1),
        10 * sum(map(str.isupper, text)) / n,
        float(text.rstrip()[-1:] in tuple(".!?")),
        *marks,
    ]


def _hashed(text: str) -> Floats:
    """Logarithms of the counts of a text's words and pairs of words, with length 1."""
    words = WORD.findall(text.lower())
    pairs = map(" ".join, pairwise(words))
    places = [zlib.crc32(each.encode("utf-8", "replace")) % HASHES for each in (*words, *pairs)]
    counts_F = np.log1p(np.bincount(places, minlength=HASHES))
    return counts_F / max(1e-9, float(np.linalg.norm(counts_F)))


def _scaled(numbers_EF: Floats) -> Floats:
    return numbers_EF / (np.sqrt((numbers_EF**2).mean(axis=0)) + 1e-9)


# --- regression -----------------------------------------------------------------------------------


def _fit_best(features_NF: Floats) -> Floats:
    """The weights with the penalty that predicts parts of the pairs best from the others."""
    losses = np.sum([_losses(features_NF, part) for part in range(INNER_PARTS)], axis=0)
    return _fit(features_NF, [PENALTIES[int(np.argmin(losses))]])[0]


def _losses(features_NF: Floats, part: int) -> Floats:
    """The loss on one of the inner parts of weights that were fitted on the others, for each of
    `PENALTIES`.
    """
    is_left_out_N = np.arange(len(features_NF)) % INNER_PARTS == part
    fitted = _fit(features_NF[~is_left_out_N], PENALTIES)
    left_out_NF = features_NF[is_left_out_N]
    return np.array([np.logaddexp(0, -left_out_NF @ weights_F).sum() for weights_F in fitted])


def _fit(features_NF: Floats, penalties: Sequence[float]) -> list[Floats]:
    """Weights of logistic regressions, one for each penalty.

    With fewer pairs than features, in the space that the pairs span, where the minimum lies. This
    space is found once for all penalties: for some hundred pairs, it takes most of the time.
    """
    n, n_features = features_NF.shape
    if n < n_features:
        left_NN, sizes_N, basis_NF = np.linalg.svd(features_NF, full_matrices=False)
        return [_minimum(left_NN * sizes_N, penalty) @ basis_NF for penalty in penalties]
    return [_minimum(features_NF, penalty) for penalty in penalties]


def _minimum(features_NF: Floats, penalty: float) -> Floats:
    """Weights of a logistic regression without a constant, whose label is always 1: the minimum of
    sum log(1 + exp(-x w)) + penalty / 2 |w|^2, by Newton's method.
    """
    n_features = features_NF.shape[1]
    weights_F = np.zeros(n_features)
    for _ in range(NEWTON_STEPS):
        wrong_N = sigmoid(-features_NF @ weights_F)
        slope_F = penalty * weights_F - features_NF.T @ wrong_N
        bent_FF = (features_NF.T * (wrong_N * (1 - wrong_N))) @ features_NF
        step_F = np.linalg.solve(bent_FF + penalty * np.eye(n_features), slope_F)
        weights_F -= step_F
        if np.abs(step_F).max() < 1e-8:
            break
    return weights_F

"""How much of the preference is length, or single words: what simple classifiers reach.

A classifier that sees only the lengths, or only which words occur, is trained on most prompts of a
sample and tested on the others. Its accuracy says what a model could learn without understanding.
"""

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from orpo.audit.texts import Row, Turn, folded_turns, text_of

SAMPLE = 10_000  # pairs that the bag of words sees
LEAST_TESTED = 20  # fewer test pairs say nothing
FEATURES = 2**15
WORDS_READ = 4000  # characters of an answer
WORD = re.compile(r"\w+|[^\w\s]")
# One prompt in five is for testing: all its pairs.
PARTS = 5
STEPS, RATE, DECAY = 120, 0.05, 1e-3


@dataclass(frozen=True)
class Length:
    """`longer_wins` is the share of pairs of unequal length whose chosen answer is the longer one.

    Accuracies are on `n_tested` held-out pairs, and None where there are too few. Half of the pairs
    of equal length count as right.
    """

    longer_wins: float | None
    length_only_accuracy: float | None
    bag_of_words_accuracy: float | None
    n_tested: int
    mean_chosen_chars: float
    mean_rejected_chars: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Chars(NamedTuple):
    """Lengths [n] of the answers in characters."""

    chosen: NDArray[np.uint32]
    rejected: NDArray[np.uint32]


def found(chars: Chars, sample: Iterable[tuple[int, Row]]) -> Length:
    """The figures of all pairs, and of the classifiers on a sample of them (places, rows)."""
    more = chars.chosen.astype(np.int64) - chars.rejected
    unequal = more[more != 0]
    places, tested, bags = _read(sample)
    enough = bool(tested.sum() >= LEAST_TESTED and (~tested).sum() >= LEAST_TESTED)
    return Length(
        longer_wins=_share(float((unequal > 0).mean())) if len(unequal) else None,
        length_only_accuracy=_by_length(more[places], tested) if enough else None,
        bag_of_words_accuracy=_by_words(bags, tested) if enough else None,
        n_tested=int(tested.sum()) if enough else 0,
        mean_chosen_chars=round(float(chars.chosen.mean()), 1) if len(more) else 0.0,
        mean_rejected_chars=round(float(chars.rejected.mean()), 1) if len(more) else 0.0,
    )


def is_tested(prompt: Sequence[Turn]) -> bool:
    """Whether pairs with this prompt are held out; the same in each run."""
    return crc32(folded_turns(prompt)) % PARTS == 0


def _by_length(more: NDArray[np.int64], tested: NDArray[np.bool_]) -> float:
    """The accuracy of 'the longer wins', or of its opposite if that fits the training pairs."""
    direction = 1 if np.sign(more[~tested]).sum() >= 0 else -1
    return _right(direction * more[tested])


def _right(margins: NDArray[Any]) -> float:
    return _share(float((margins > 0).mean() + 0.5 * (margins == 0).mean()))


def _share(value: float) -> float:
    return round(value, 4)


class Bags(NamedTuple):
    """Words of pairs, one pair after the other: `pair` [m], `feature` [m], and +1 [m] for a word of
    the chosen answer alone, -1 for one of the rejected alone.
    """

    pair: NDArray[np.int64]
    feature: NDArray[np.int64]
    sign: NDArray[np.float64]
    pairs: int

    def of(self, wanted: NDArray[np.bool_]) -> "Bags":
        """The words of the wanted pairs, numbered again."""
        keep = wanted[self.pair]
        numbers = np.cumsum(wanted) - 1
        words = numbers[self.pair[keep]], self.feature[keep], self.sign[keep]
        return Bags(*words, int(wanted.sum()))

    def margins(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The log odds [pairs] that the chosen answer is preferred."""
        return np.bincount(self.pair, self.sign * weights[self.feature], self.pairs).astype(float)


def _read(
    sample: Iterable[tuple[int, Row]],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Bags]:
    """The places of the sampled pairs, which are held out, and their bags of words."""
    places: list[int] = []
    tested: list[bool] = []
    sizes: list[int] = []
    features, signs = array("I"), array("b")
    for place, row in sample:
        if row["rejected"] is None:
            continue
        good, bad = words(text_of(row["chosen"])), words(text_of(row["rejected"]))
        features.extend(good - bad)
        features.extend(bad - good)
        signs.extend([1] * len(good - bad) + [-1] * len(bad - good))
        sizes.append(len(good ^ bad))
        places.append(place)
        tested.append(is_tested(row["prompt"]))
    bags = Bags(
        np.repeat(np.arange(len(places)), sizes),
        np.array(features, np.int64),
        np.array(signs, np.float64),
        len(places),
    )
    return np.array(places, np.int64), np.array(tested, bool), bags


def words(text: str) -> set[int]:
    """The words of an answer, as numbers below `FEATURES`; the same in each run."""
    found = set(WORD.findall(text[:WORDS_READ].lower()))
    return {crc32(word.encode()) % FEATURES for word in found}


def _by_words(bags: Bags, tested: NDArray[np.bool_]) -> float:
    return _right(bags.of(tested).margins(_fit(bags.of(~tested))))


def _fit(bags: Bags) -> NDArray[np.float64]:
    """The weights [FEATURES] of a logistic regression on differences of words (Bradley and Terry,
    1952), by Adam on all pairs at once: it needs no random numbers.
    """
    weights, mean, square = (np.zeros(FEATURES) for _ in range(3))
    for step in range(1, STEPS + 1):
        wrong = 1 / (1 + np.exp(np.clip(bags.margins(weights), -30, 30)))
        gradient = np.bincount(bags.feature, -bags.sign * wrong[bags.pair], FEATURES) / bags.pairs
        gradient += DECAY * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        change = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        weights -= RATE * change
    return weights

"""How often a judge agrees with people: on LLMBar, PandaLM and our users' own votes."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals import statistics
from evals.statistics import Estimate
from evals.verdicts import DRAW, Verdict

COIN = 0.5


@dataclass(frozen=True)
class Agreement:
    """Shares of pairs on which the judge names the people's choice. LLMBar's names: `average` over
    both orders, `both` orders right, and `equal`, both orders name the same answer.
    """

    average: Estimate | None
    both: Estimate | None
    equal: Estimate | None
    unparsed: int

    @property
    def is_worse_than_a_coin(self) -> bool:
        """True if the whole interval lies below one half."""
        found = self.average
        return found is not None and found.high is not None and found.high < COIN


def with_labels(
    verdicts: Mapping[Any, Verdict], first_is_better: Mapping[Any, bool], seed: int = 0
) -> Agreement:
    """Compare verdicts on answer pairs with labels without draws (LLMBar, arXiv 2310.07641).

    A verdict's `first` and `second` are about the same answer, shown first and shown second. A draw
    agrees with neither. Pairs without both verdicts are counted in `unparsed` only.
    """
    right: dict[Any, list[float]] = {}
    both: dict[Any, list[float]] = {}
    equal: dict[Any, list[float]] = {}
    unparsed = 0
    for pair, label in first_is_better.items():
        verdict = verdicts.get(pair, Verdict(None))
        if verdict.first is None or verdict.second is None:
            unparsed += 1
            continue
        named = [side > DRAW if side != DRAW else None for side in (verdict.first, verdict.second)]
        hits = [name == label for name in named]
        right[pair] = [float(hit) for hit in hits]
        both[pair] = [float(all(hits))]
        equal[pair] = [float(named[0] == named[1])]
    return Agreement(
        statistics.mean(right, seed),
        statistics.mean(both, seed),
        statistics.mean(equal, seed),
        unparsed,
    )


def majority(labels: Sequence[Hashable]) -> Hashable:
    """Return the most frequent label; of equally frequent ones, the first named (PandaLM)."""
    return Counter(labels).most_common(1)[0][0]


def with_majority(
    given: Mapping[Any, Hashable], people: Mapping[Any, Sequence[Hashable]], seed: int = 0
) -> Estimate | None:
    """Return the share of pairs where the judge's label is the majority's (arXiv 2306.05087).

    A pair without a label counts as a disagreement. PandaLM counts a reply that can't be parsed
    as a tie: the caller passes it as one to get its figures.
    """
    hits = {pair: [float(given.get(pair) == majority(found))] for pair, found in people.items()}
    return statistics.mean(hits, seed)

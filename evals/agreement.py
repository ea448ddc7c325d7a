"""How often a judge agrees with people: on LLMBar, PandaLM and our users' own votes."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from evals import statistics
from evals.statistics import Estimate
from evals.verdicts import DRAW, Verdict, winner

COIN = 0.5
Label = TypeVar("Label", bound=Hashable)


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt; `label` is what people say of the first: 1 better, 0.5 equal, 0
    worse.
    """

    prompt: str
    first: str
    second: str
    label: float


@dataclass(frozen=True)
class Agreement:
    """Shares of pairs on which the judge names the people's choice. LLMBar's names: `average` over
    both orders, `both` orders right, and `equal`, both orders name the same answer.

    `decided` leaves out the pairs that people call equal, and counts a judge's draw as half, so
    that a coin has 0.5 whatever the share of draws is.
    """

    average: Estimate | None
    both: Estimate | None
    equal: Estimate | None
    decided: Estimate | None
    unparsed: int

    @property
    def is_worse_than_a_coin(self) -> bool:
        """True if the whole interval of `decided` lies below one half."""
        found = self.decided
        return found is not None and found.high is not None and found.high < COIN


def with_labels(
    verdicts: Mapping[Any, Verdict], labels: Mapping[Any, float], seed: int = 0
) -> Agreement:
    """Compare verdicts on answer pairs with people's labels (LLMBar, arXiv 2310.07641).

    A label is 1 (or True) if people prefer the first answer, 0 (or False) if the second, 0.5 if
    they call them equal. A verdict's `first` and `second` are about the same answer, shown first
    and shown second. A draw agrees with an equal label only. Pairs without both verdicts are
    counted in `unparsed` only.
    """
    right: dict[Any, list[float]] = {}
    both: dict[Any, list[float]] = {}
    equal: dict[Any, list[float]] = {}
    decided: dict[Any, list[float]] = {}
    unparsed = 0
    for pair, label in labels.items():
        verdict = verdicts.get(pair, Verdict(None))
        if verdict.first is None or verdict.second is None:
            unparsed += 1
            continue
        named = [winner(side) for side in (verdict.first, verdict.second)]
        hits = [name == winner(label) for name in named]
        right[pair] = [float(hit) for hit in hits]
        both[pair] = [float(all(hits))]
        equal[pair] = [float(named[0] == named[1])]
        if label != DRAW:
            decided[pair] = [(1 + winner(label) * name) / 2 for name in named]
    return Agreement(
        average=statistics.mean(right, seed),
        both=statistics.mean(both, seed),
        equal=statistics.mean(equal, seed),
        decided=statistics.mean(decided, seed),
        unparsed=unparsed,
    )


def llmbar(row: Mapping[str, Any]) -> Pair | None:
    """Read a row as LLMBar publishes it; None if it is none: `label` 1 or 2 names the better."""
    label = {1: 1.0, 2: 0.0}.get(_key(row.get("label")))
    texts = _texts(row, "input", "output_1", "output_2")
    return Pair(*texts, label) if texts and texts[0].strip() and label is not None else None


def pandalm(row: Mapping[str, Any]) -> Pair | None:
    """Read a row of PandaLM's test set; None if it is none. Of three annotators the majority
    counts: 1 and 2 name the better answer, 0 is a tie.
    """
    votes = [_key(row.get(f"annotator{n}")) for n in (1, 2, 3)]
    texts = _texts(row, "instruction", "response1", "response2")
    if texts is None or not set(votes) <= {0, 1, 2}:
        return None
    parts = (texts[0], str(row.get("input") or ""))
    prompt = "\n\n".join(part for part in parts if part.strip())
    label = {1: 1.0, 2: 0.0, 0: DRAW}[majority(votes)]
    return Pair(prompt, texts[1], texts[2], label) if prompt else None


def draw(pairs: Sequence[Pair], limit: int | None = None, seed: int = 0) -> list[int]:
    """Return the places of `limit` pairs, in their order; a smaller limit gives a part of them.

    Each pair counts once: a place whose pair stands at an earlier one is left out.
    """
    first_places = list({pair: at for at, pair in reversed(list(enumerate(pairs)))}.values())[::-1]
    order = np.random.default_rng(seed).permutation(len(first_places))
    return sorted(first_places[at] for at in order[:limit])


def _key(value: Any) -> int:
    """A label as a number; -1 for anything else. Files hold them as numbers or as digits."""
    is_digit = isinstance(value, str) and value.strip() in {"0", "1", "2"}
    return int(value) if is_digit or type(value) is int else -1


def _texts(row: Mapping[str, Any], *names: str) -> tuple[str, str, str] | None:
    """The prompt and both answers. An answer may be empty, as in 54 pairs of PandaLM, and it may be
    a number or a truth value that its author did not quote, as in 7.
    """
    found = [row.get(name) for name in names]
    if not all(isinstance(value, str | int | float) for value in found):
        return None
    prompt, first, second = map(str, found)
    return prompt, first, second


def majority(labels: Sequence[Label]) -> Label:
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

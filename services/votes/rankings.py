"""What votes say of models: strengths, and how often each model beats each other one."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from sqlalchemy.orm import Session

from evals import length_control, rankings, statistics, verdicts
from evals.estimates import Estimate
from evals.verdicts import Verdict
from models import Comparison
from models.comparisons import Choice
from services.access.callers import Caller
from services.votes import votes
from services.votes.pairs import prompt_key
from services.votes.votes import Filter

# With fewer votes, no order of models is known.
ENOUGH = 20


@dataclass(frozen=True)
class _Voted:
    """A vote that counts, and how many characters both answers have."""

    vote: rankings.Vote
    lengths: tuple[int, int]

    def seen_from(self, model: str) -> tuple[float, int, int]:
        """The outcome for a model, the length of its answer, and that of the other one."""
        first, second = self.lengths
        if self.vote.first == model:
            return self.vote.outcome, first, second
        return 1 - self.vote.outcome, second, first


def ranking(session: Session, caller: Caller, wanted: Filter) -> dict[str, Any]:
    """Return the models by strength, each pair of them, and the voters' preference for a side.

    Counts votes on two models that were asked the same, each prompt drawn as a whole. Takes seconds
    for thousands of votes: call it in a thread.
    """
    found = list(votes.newest(session, caller, wanted))
    voted = [vote for comparison in found if (vote := _voted(comparison)) is not None]
    ranked = rankings.rank([each.vote for each in voted])
    return {
        "votes": len(found),
        "counted": len(voted),
        "enough": ENOUGH,
        "models": [
            _model(name, group, estimate, voted)
            for group, names in enumerate(ranked.groups)
            for name in names
            if (estimate := ranked.strengths[name])
        ],
        "pairs": [
            _pair(model, other, of_pair)
            for names in ranked.groups
            for at, model in enumerate(names)
            for other in names[at + 1 :]
            if (of_pair := [v for v in voted if {v.vote.first, v.vote.second} == {model, other}])
        ],
        "agreement": _agreement(found),
        "side": ranked.side and asdict(_as_share(ranked.side)),
    }


def _agreement(found: Iterable[Comparison]) -> dict[str, Any] | None:
    """How often two voters said the same of the same two answers, each prompt drawn as a whole.

    A tie is the same as `both_bad`: neither answer is the better one.
    """
    said: dict[tuple[str, ...], dict[str | None, str | None]] = {}
    for comparison in found:
        if (asked := votes.asked(comparison)) is None:
            continue
        first, second = (side["text"] for side in comparison.sides[:2])
        better = {1.0: first, 0.0: second}.get(votes.OUTCOMES[Choice(comparison.choice)])
        # The votes are read newest first: a voter's last word counts.
        of_answers = said.setdefault((prompt_key(asked), *sorted([first, second])), {})
        of_answers.setdefault(comparison.voted_by, better)
    same: dict[str, list[float]] = {}
    for (prompt, *_), by_voter in said.items():
        for one, other in combinations(by_voter.values(), 2):
            same.setdefault(prompt, []).append(float(one == other))
    estimate = statistics.mean(same)
    return estimate and asdict(estimate)


def _voted(comparison: Comparison) -> _Voted | None:
    asked = votes.asked(comparison)
    first, second = (side["model"] for side in comparison.sides[:2])
    if asked is None or first == second:
        return None
    outcome = votes.OUTCOMES[Choice(comparison.choice)]
    one, other = (len(side["text"]) for side in comparison.sides)
    return _Voted(rankings.Vote(prompt_key(asked), first, second, outcome), (one, other))


def _model(name: str, group: int, strength: Estimate, voted: Iterable[_Voted]) -> dict[str, Any]:
    own = [each.seen_from(name)[0] for each in voted if name in (each.vote.first, each.vote.second)]
    return {
        "model": name,
        "group": group,
        "strength": asdict(strength),
        "against_average": asdict(_as_share(strength)),
        "early": len(own) < ENOUGH,
        **_counts(own),
    }


def _as_share(log_odds: Estimate) -> Estimate:
    ends = (log_odds.value, log_odds.low, log_odds.high)
    value, low, high = (None if end is None else rankings.expected_win_rate(end) for end in ends)
    return Estimate(value or 0.0, low, high, log_odds.n)


def _pair(model: str, other: str, of_pair: Sequence[_Voted]) -> dict[str, Any]:
    """How often `model` beats `other`; a draw counts as half."""
    outcomes, ours, theirs = zip(*(each.seen_from(model) for each in of_pair), strict=True)
    by_prompt: dict[Any, list[Verdict]] = {}
    for each, outcome in zip(of_pair, outcomes, strict=True):
        by_prompt.setdefault(each.vote.prompt, []).append(Verdict(outcome))
    rate = verdicts.preference(by_prompt, orders=1).win_rate
    early = len(outcomes) < ENOUGH
    controlled = None if early else length_control.win_rate(outcomes, ours, theirs)
    equal = controlled.win_rate if controlled else None
    return {
        "model": model,
        "other": other,
        "win_rate": rate and asdict(rate),
        "at_equal_length": equal and asdict(equal),
        "early": early,
        **_counts(outcomes),
    }


def _counts(outcomes: Sequence[float]) -> dict[str, int]:
    wins, losses = sum(o > 0.5 for o in outcomes), sum(o < 0.5 for o in outcomes)
    return {"wins": wins, "draws": len(outcomes) - wins - losses, "losses": losses}

"""Rankings of simulated voters with known strengths, and of votes that can't be ranked."""

import numpy as np
import pytest

from evals import rankings
from evals.estimates import Estimate
from evals.rankings import Vote

STRENGTHS = {"small": -0.8, "base": -0.1, "tuned": 0.3, "large": 0.6}
NAMES = list(STRENGTHS)
RUNS, VOTES = 200, 240


def ends(found: Estimate | None) -> tuple[float, float]:
    """The interval of an estimate that has one."""
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def covers(found: Estimate | None, value: float) -> bool:
    low, high = ends(found)
    return low <= value <= high


def simulate(seed: int, *, votes: int = VOTES, side: float = 0.0) -> list[Vote]:
    """Votes of people who follow the model exactly, on prompts and pairs of models at random."""
    random = np.random.default_rng(seed)
    made = []
    for prompt in range(votes):
        first, second = random.choice(NAMES, 2, replace=False)
        chance = 1 / (1 + np.exp(-(STRENGTHS[first] - STRENGTHS[second] + side)))
        outcome = float(random.random() < chance)
        made.append(Vote(prompt, str(first), str(second), outcome))
    return made


def test_intervals_cover_the_true_strengths() -> None:
    covered = dict.fromkeys((*NAMES, "side"), 0)
    for seed in range(RUNS):
        found = rankings.rank(simulate(seed, side=0.25), seed)
        for name in NAMES:
            covered[name] += covers(found.strengths[name], STRENGTHS[name])
        covered["side"] += covers(found.side, 0.25)
    shares = {name: count / RUNS for name, count in covered.items()}
    assert all(0.90 <= share <= 0.98 for share in shares.values()), shares


def test_the_order_of_many_votes_is_the_true_one() -> None:
    found = rankings.rank(simulate(0, votes=6_000))
    assert list(found.strengths) == sorted(NAMES, key=lambda name: -STRENGTHS[name])
    for name, estimate in found.strengths.items():
        assert estimate.value == pytest.approx(STRENGTHS[name], abs=0.12)
    assert sum(estimate.value for estimate in found.strengths.values()) == pytest.approx(
        0, abs=1e-9
    )


def test_a_side_bias_is_found_and_taken_out_of_the_strengths() -> None:
    biased = rankings.rank(simulate(1, votes=1_500, side=0.7))
    assert ends(biased.side)[0] > 0.4
    fair = rankings.rank(simulate(1, votes=1_500))
    assert covers(fair.side, 0)
    for name in NAMES:
        assert biased.strengths[name].value == pytest.approx(STRENGTHS[name], abs=0.25)


def test_two_models_have_the_strengths_of_their_win_rate() -> None:
    """The closed form: half the log odds of the win rate each, where the prior weighs little."""
    votes = [
        Vote(n, "a", "b", float(n % 8 < 6)) if n % 2 else Vote(n, "b", "a", float(n % 8 >= 6))
        for n in range(4_000)
    ]
    found = rankings.rank(votes)
    half = np.log(0.75 / 0.25) / 2
    assert found.strengths["a"].value == pytest.approx(half, abs=1e-3)
    assert found.strengths["b"].value == pytest.approx(-half, abs=1e-3)
    assert rankings.expected_win_rate(2 * half) == pytest.approx(0.75)


def test_a_tie_counts_as_half_a_win_for_each() -> None:
    ties = [Vote(n, "a", "b", 0.5) for n in range(30)]
    found = rankings.rank(ties)
    assert found.strengths["a"].value == pytest.approx(0, abs=1e-9)
    both = [Vote(n, "a", "b", float(n % 2)) for n in range(60)]
    assert rankings.rank(both).strengths["a"].value == pytest.approx(0, abs=1e-9)


def test_a_model_that_wins_each_vote_has_a_finite_strength() -> None:
    found = rankings.rank([Vote(n, "a", "b", 1.0) for n in range(50)])
    assert 1 < found.strengths["a"].value < 10
    assert found.side is None, "the side and the models can't be told apart"


def test_models_that_no_vote_connects_are_in_groups_of_their_own() -> None:
    votes = [Vote(n, "a", "b", 1.0) for n in range(9)] + [Vote(n, "c", "d", 0.0) for n in range(9)]
    votes.append(Vote(20, "b", "e", 1.0))
    found = rankings.rank(votes)
    assert [sorted(group) for group in found.groups] == [["a", "b", "e"], ["c", "d"]]
    for group in found.groups:
        assert sum(found.strengths[name].value for name in group) == pytest.approx(0, abs=1e-9)
    assert found.groups[1] == ["d", "c"]


def test_votes_on_one_prompt_are_no_independent_votes() -> None:
    apart = rankings.rank([Vote(n, "a", "b", float(n % 4 > 0)) for n in range(80)])
    together = rankings.rank([Vote(n // 20, "a", "b", float(n // 20 > 0)) for n in range(80)])

    def width(found: rankings.Ranking) -> float:
        low, high = ends(found.strengths["a"])
        return high - low

    assert apart.strengths["a"].value == pytest.approx(together.strengths["a"].value)
    assert width(together) > 1.5 * width(apart)


def test_a_single_prompt_has_no_interval() -> None:
    ranked = rankings.rank([Vote(1, "a", "b", 1.0), Vote(1, "b", "a", 0.0)])
    found = [*ranked.strengths.values(), ranked.side]
    assert [(each.low, each.high, each.n) for each in found if each] == [(None, None, 1)] * 3
    assert ranked.strengths["a"].value > 0


def test_the_same_votes_give_the_same_numbers_in_any_order() -> None:
    votes = simulate(3)
    assert rankings.rank(votes) == rankings.rank(list(votes))
    assert rankings.rank([]).strengths == {}


@pytest.mark.parametrize("vote", [Vote(0, "a", "a", 1.0), Vote(0, "a", "b", 0.7)])
def test_what_is_no_vote_is_refused(vote: Vote) -> None:
    with pytest.raises(ValueError, match=r"not compared|An outcome"):
        rankings.rank([vote])

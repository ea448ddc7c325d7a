"""MT-Bench, AlpacaEval, length control, rewards and held-out pairs."""

import math

import numpy as np
import pytest

from evals import alpaca_eval, held_out, length_control, mt_bench, rewards
from evals.mt_bench import Judged
from tests.evals.data import rows, shared


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Good. Rating: [[8.5]]", 8.5),
        ("As said in [1] and [2], fine. Rating: [[7]]", 7),
        ("Rating: [9]", 9),
        ("Rating: 3", 3),
        ("Rating: [[11]]", None),
        ("I can't rate this.", None),
    ],
)
def test_a_rating_is_read(reply: str, value: float | None) -> None:
    assert mt_bench.rating(reply) == value


def test_mt_bench_leaves_out_what_can_not_be_known() -> None:
    found = mt_bench.scores(
        [
            Judged(81, "writing", 1, 8), Judged(81, "writing", 2, 6), Judged(101, "math", 1, None),
            Judged(102, "math", 1, 3), Judged(102, "math", 1, 5), Judged(103, "math", 1, 2),
            Judged(103, "math", 1, 2),
        ]
    )  # fmt: skip
    assert found.mean
    assert (found.unparsed, found.doubled) == (1, 1)
    assert found.mean.value == pytest.approx((8 + 6 + 2) / 3)
    assert {name: mean.value for name, mean in found.by_category.items()} == {
        "math": 2,
        "writing": 7,
    }
    assert found.by_turn[2].value == 6


def test_categories_with_a_reference_have_their_own_judge_prompt() -> None:
    assert mt_bench.judge_prompt("math", 2) == "single-math-v1-multi-turn"
    assert mt_bench.judge_prompt("stem", 1) == "single-v1"


@shared
def test_gpt4s_judgments_of_mistral_orpo() -> None:
    """FastChat's own mean of these 160 judgments."""
    judged = rows("mtbench_judgments_orpo_trl.jsonl")
    assert [mt_bench.rating(row["judgment"]) for row in judged] == [row["score"] for row in judged]
    found = mt_bench.scores(
        Judged(row["question_id"], "all", row["turn"], mt_bench.rating(row["judgment"]))
        for row in judged
    )
    assert found.mean
    assert (found.mean.value, found.unparsed, found.doubled) == (7.165625, 0, 0)
    assert (found.by_turn[1].value, found.by_turn[2].value) == (7.73125, 6.60)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]", 1),
        (" [{'model': 'model_2', 'rank': 1}, {'model': 'model_1', 'rank': 2}]\n", 0),
        ("[{'model': 'model_1', 'rank': 3}]", None),
        ("model_1 is better", None),
        ("__import__('os').getcwd()", None),
        ("", None),
        ("[" * 5_000, None),
    ],
    ids=["first", "second", "third", "prose", "code", "empty", "deep"],
)
def test_a_ranking_is_read(reply: str, value: float | None) -> None:
    assert alpaca_eval.ranking(reply) == value


def test_logprobs_become_a_probability() -> None:
    assert alpaca_eval.preference({"m": np.log(0.6), "M": np.log(0.2), "The": -1}) == pytest.approx(
        0.75
    )
    assert alpaca_eval.preference({"M": -0.1}) == 0
    assert alpaca_eval.preference({"Both": -0.1}) is None


def test_outputs_are_joined_by_instruction_and_never_by_place() -> None:
    ours = [("a", "1"), ("b", "2"), ("c", "3"), ("c", "4"), ("d", "5")]
    theirs = [("b", "B"), ("a", "A"), ("a", "A"), ("c", "C"), ("e", "E"), ("e", "F")]
    found = alpaca_eval.join(ours, theirs)
    assert found.pairs == {"a": ("1", "A"), "b": ("2", "B")}
    assert (found.missing, found.doubled) == (["d"], ["c"])


def lengths(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths of 800 answers of ours, of theirs, and what `length_control` makes of them."""
    random = np.random.default_rng(seed)
    ours = random.lognormal(7, 0.5, 800).astype(int)
    theirs = random.lognormal(6.8, 0.5, 800).astype(int)
    return ours, theirs, np.tanh((ours - theirs) / (ours - theirs).std(ddof=1))


@pytest.mark.parametrize("seed", range(3))
def test_a_known_effect_of_length_is_removed(seed: int) -> None:
    """Ours wins with log odds 0.4 at equal lengths, and 1.5 more for each unit of length."""
    ours, theirs, difference = lengths(seed)
    chance = 1 / (1 + np.exp(-(0.4 + 1.5 * difference)))
    won = (np.random.default_rng(seed + 10).random(800) < chance).astype(float)
    found = length_control.win_rate(won.tolist(), ours.tolist(), theirs.tolist())
    assert found
    assert found.win_rate
    assert found.win_rate.low is not None
    assert found.win_rate.high is not None
    assert found.win_rate.low < 1 / (1 + np.exp(-0.4)) < found.win_rate.high < won.mean() + 0.03
    assert found.length_effect == pytest.approx(1.5, abs=0.4)


@pytest.mark.parametrize("seed", range(3))
def test_a_judge_that_prefers_the_longer_answer_comes_nearer_to_a_draw(seed: int) -> None:
    """It names the longer answer in nine of ten pairs."""
    ours, theirs, _ = lengths(seed)
    chance = np.where(ours > theirs, 0.9, 0.1)
    won = (np.random.default_rng(seed).random(800) < chance).astype(float)
    found = length_control.win_rate(won.tolist(), ours.tolist(), theirs.tolist())
    assert found
    assert found.win_rate
    assert abs(found.win_rate.value - 0.5) < abs(won.mean() - 0.5)


def test_where_length_decides_every_pair_there_is_no_rate_at_equal_lengths() -> None:
    ours, theirs, _ = lengths(1)
    won = (ours > theirs).astype(float)
    found = length_control.win_rate(won.tolist(), ours.tolist(), theirs.tolist())
    assert found
    assert found.win_rate is None
    assert found.length_effect > 100


def test_the_fit_is_that_of_liblinear() -> None:
    """Weights of scikit-learn 1.9.1 (l1, liblinear) on the same pairs, at four strengths."""
    random = np.random.default_rng(0)
    ours, theirs = (random.lognormal(mean, 0.5, 800).astype(int) for mean in (7, 6.8))
    difficulty = random.normal(0, 1, 800)
    design = length_control._design(ours - theirs, difficulty.tolist())
    chance = 1 / (1 + np.exp(-(0.4 + 1.5 * design[:, 0] + 0.5 * difficulty)))
    won = (random.random(800) < chance).astype(float)
    for strength, weights in {
        0.006: [0, 0, 0],
        0.05: [1.2128, 0.2324, 0.2394],
        1: [1.5966, 0.3313, 0.3935],
        1000: [1.6197, 0.3372, 0.4028],
    }.items():
        assert length_control._fit(design, won, strength) == pytest.approx(weights, abs=1e-3)


def test_the_difficulty_of_instructions_is_a_part_of_the_rate() -> None:
    ours, theirs, _ = lengths(5)
    difficulty = np.random.default_rng(5).normal(0, 1, 800)
    chance = 1 / (1 + np.exp(-2 * difficulty))
    found = length_control.win_rate(
        chance.tolist(), ours.tolist(), theirs.tolist(), difficulty.tolist()
    )
    assert found
    assert found.win_rate
    assert found.win_rate.value == pytest.approx(chance.mean(), abs=0.02)


def test_nine_pairs_have_no_length_controlled_rate() -> None:
    assert length_control.win_rate([1.0] * 9, [2] * 9, [1] * 9) is None
    equal = length_control.win_rate([1.0, 0.0] * 10, [5] * 20, [5] * 20)
    assert equal
    assert equal.win_rate
    assert equal.win_rate.value == pytest.approx(0.5, abs=0.01)


def test_rewards_of_two_models() -> None:
    found = rewards.compare({1: 2.0, 2: 1.0, 3: 0.0, 4: 9.0}, {1: 1.0, 2: 1.0, 3: 3.0, 5: 0.0})
    assert found
    assert found.win_rate
    assert found.difference
    assert (found.win_rate.value, found.ties, found.win_rate.n) == (0.5, 1, 3)
    assert found.difference.value == pytest.approx(-2 / 3)
    assert (sum(found.ours.counts), sum(found.theirs.counts)) == (3, 3)
    assert rewards.compare({1: 1.0}, {2: 1.0}) is None
    with pytest.raises(ValueError, match="finite"):
        rewards.compare({1: float("nan")}, {1: 1.0})


def test_a_held_out_pair_has_the_numbers_of_the_paper() -> None:
    chosen, rejected = math.log(0.6), math.log(0.2)
    found = held_out.numbers(chosen, rejected)
    assert found["log_odds_ratio"] == pytest.approx(math.log(0.6 / 0.4) - math.log(0.2 / 0.8))
    assert found["margin"] == pytest.approx(math.log(3))
    assert found["accuracy"] == 1
    assert (found["logps_chosen"], found["logps_rejected"]) == (chosen, rejected)
    assert held_out.numbers(rejected, chosen)["accuracy"] == 0
    assert held_out.numbers(chosen, chosen)["accuracy"] == 0, "a draw is not right"


@pytest.mark.parametrize("logp", [-1e-9, -1e-6, -0.1, -math.log(2), -3.0, -40.0])
def test_log_odds_stay_finite(logp: float) -> None:
    p = math.exp(min(logp, held_out.MAX_LOGP))
    assert held_out.log_odds(logp) == pytest.approx(math.log(p) - math.log1p(-p), rel=1e-6)

"""Judges in both orders, and their agreement with people."""

from evals import agreement, verdicts
from evals.verdicts import Verdict
from tests.evals.data import rows, shared


def test_a_judge_that_always_names_the_first_answer_is_a_coin() -> None:
    found = verdicts.preference({at: [Verdict(1.0, 0.0)] for at in range(20)})
    assert found.win_rate
    assert found.flip_rate
    assert found.first_wins
    assert (found.win_rate.value, found.flip_rate.value, found.first_wins.value) == (0.5, 1, 1)
    assert (found.wins, found.draws, found.losses, found.unparsed) == (0, 20, 0, 0)


def test_a_win_needs_both_orders() -> None:
    found = verdicts.preference(
        {
            1: [Verdict(1.0, 1.0)],
            2: [Verdict(1.0, None)],
            3: [Verdict(0.0, 0.0)],
            4: [Verdict(None)],
        }
    )
    assert found.win_rate
    assert (found.wins, found.losses, found.unparsed) == (1, 1, 2)
    assert (found.win_rate.value, found.win_rate.n) == (0.5, 2)


def test_one_order_has_no_flip_rate() -> None:
    found = verdicts.preference({1: [Verdict(1.0)], 2: [Verdict(0.0)]}, orders=1)
    assert found.flip_rate is None
    assert (found.wins, found.losses) == (1, 1)


def test_probabilities_are_averaged() -> None:
    assert verdicts.outcome(Verdict(0.75, 0.25)) == 0.5
    assert verdicts.outcome(Verdict(0.75, 0.5)) == 0.625


def test_a_judge_that_is_always_wrong_is_worse_than_a_coin() -> None:
    found = agreement.with_labels(
        {at: Verdict(0.0, 0.0) for at in range(30)}, dict.fromkeys(range(30), True)
    )
    assert found.is_worse_than_a_coin
    draws = agreement.with_labels(
        {at: Verdict(0.5, 0.5) for at in range(30)}, dict.fromkeys(range(30), True)
    )
    assert draws.average
    assert draws.decided
    assert (draws.average.value, draws.decided.value) == (0, 0.5)
    assert not draws.is_worse_than_a_coin


def test_pairs_that_people_call_equal_are_apart() -> None:
    """A judge that is always right where people have a choice, and never names a draw."""
    labels = {at: 0.5 if at < 20 else 1.0 for at in range(30)}
    found = agreement.with_labels({at: Verdict(1.0, 1.0) for at in range(30)}, labels)
    assert found.average
    assert found.decided
    assert (found.average.value, found.decided.value) == (1 / 3, 1)
    assert (found.average.n, found.decided.n) == (30, 10)
    equal = agreement.with_labels({1: Verdict(0.5, 0.5)}, {1: 0.5})
    assert equal.average
    assert equal.average.value == 1
    assert equal.decided is None


def test_rows_without_a_label_or_an_answer_are_no_pairs() -> None:
    row = {"input": "Why?", "output_1": "a", "output_2": "", "label": 2}
    assert agreement.llmbar(row) == agreement.Pair("Why?", "a", "", 0.0)
    for changes in (
        {"label": 3},
        {"label": None},
        {"label": True},
        {"output_1": None},
        {"input": ""},
    ):
        assert agreement.llmbar(row | changes) is None
    of_three = {"instruction": "Add.", "input": "1, 1", "response1": 2, "response2": "3"}
    votes = {"annotator1": 2, "annotator2": "1", "annotator3": 1}
    assert agreement.pandalm(of_three | votes) == agreement.Pair("Add.\n\n1, 1", "2", "3", 1.0)
    assert agreement.pandalm(of_three | votes | {"annotator3": 3}) is None


def test_a_smaller_draw_is_a_part_of_a_larger_one() -> None:
    pairs = [agreement.Pair("p", str(at % 40), "b", 1.0) for at in range(60)]
    assert agreement.draw(pairs) == list(range(40))
    few, more = (set(agreement.draw(pairs, limit)) for limit in (5, 12))
    assert (len(few), len(more)) == (5, 12)
    assert few < more


def test_the_first_named_label_wins_a_tie_of_three() -> None:
    assert agreement.majority([2, 0, 1]) == 2
    assert agreement.majority([2, 1, 1]) == 1


@shared
def test_gpt4_on_llmbar() -> None:
    """The figures that LLMBar publishes with these verdicts."""
    for name, figures in {
        "Natural": (0.955, 0.93, 0.95),
        "Adversarial_Manual": (74 / 92, 33 / 46, 38 / 46),
    }.items():
        given, labels = {}, {}
        for at, row in enumerate(rows(f"llmbar/{name}/GPT-4_Vanilla.result.json")):
            winners = {
                order: said["winner"] for part in row["results"] for order, said in part.items()
            }
            sides = (winners["swap = False"], winners["swap = True"])
            given[at] = Verdict(*(({"1": 1.0, "2": 0.0}.get(side)) for side in sides))
            labels[at] = row["label"] == 1
        found = agreement.with_labels(given, labels)
        assert found.average
        assert found.both
        assert found.equal
        assert (found.average.value, found.both.value, found.equal.value) == figures


@shared
def test_gpt35_on_pandalm() -> None:
    """PandaLM's published agreement; it counts replies that can't be parsed as ties."""
    given = {
        row["idx"]: {"1": 1, "2": 2}.get(row["gpt_result"], 0) for row in rows("pandalm_gpt35.json")
    }
    people = {
        row["idx"]: [row[f"annotator{n}"] for n in (1, 2, 3)]
        for row in rows("pandalm_testset.json")
    }
    found = agreement.with_majority(given, people)
    assert found
    assert round(found.value, 6) == 0.710711


@shared
def test_the_published_rows_are_read() -> None:
    assert all(map(agreement.pandalm, rows("pandalm_testset.json")))
    assert all(map(agreement.llmbar, rows("llmbar/Natural/GPT-4_Vanilla.result.json")))

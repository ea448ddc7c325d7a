"""Scores of evaluations, from the rows of answers and judgments that a worker has stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Evaluation, EvaluationItem, Judge
from models.base import new_id
from models.jobs import JobState, Purpose
from services.access.callers import Caller
from services.evaluations import answers, judgments, scores
from services.evaluations.answers import New
from services.evaluations.judgments import Reply
from services.evaluations.scores import Summary
from services.evaluations.suites import SUITES
from tests import records
from tests.evals.data import rows, shared

NONE = "no reply"  # of a judge that was asked; None: its reply has no verdict


@dataclass
class Row:
    """A prompt, the answers of both sides by turn, and the values of its judgments by slot."""

    ours: Sequence[str] = ("Yes.",)
    theirs: Sequence[str] = ()
    judged: Sequence[float | str | None] = ()
    category: str | None = None
    reference: dict[str, Any] | None = None
    turns: int = 1


def evaluation(
    session: Session,
    caller: Caller,
    suite: str,
    items: Sequence[Row],
    *,
    kind: str | None = None,
    orders: int = 2,
) -> Evaluation:
    """An evaluation whose answers and judgments are all there."""
    job = records.job(session, caller, JobState.QUEUED, purpose=Purpose.EVALUATION)
    judge = kind and Judge(
        id=new_id("judge"), org_id=caller.org_id, api_key_id=caller.api_key_id, name="j", kind=kind,
        model="m", sampling={}, agreement={},
    )  # fmt: skip
    if judge:
        session.add(judge)
        session.flush()
    found = Evaluation(
        id=job.id, suite=suite, target={"model": "a"}, judge_id=judge.id if judge else None,
        baseline={"model": "b"} if any(item.theirs for item in items) else None, orders=orders,
        sampling={}, options={}, counts={"of": 9, "prompts": len(items)}, scores=[], details={},
    )  # fmt: skip
    session.add(found)
    session.flush()
    for place, item in enumerate(items):
        session.add(_item(session, caller, found.id, place, item))
    session.flush()
    return found


def _item(session: Session, caller: Caller, of: str, place: int, row: Row) -> EvaluationItem:
    keys: dict[str, list[str]] = {"ours": [], "theirs": []}
    for side, of_side in keys.items():
        for at, text in enumerate(getattr(row, side)):
            of_side.append(f"{of} {side} {place} {at}")
            # An answer that ends with dots was cut off.
            reason = "length" if text.endswith("...") else "stop"
            answers.store(session, caller.org_id, [New(of_side[-1], text, finish_reason=reason)])
    judged = [f"{of} {place} {at}" for at in range(len(row.judged))]
    judgments.store(
        session, caller.org_id,
        [Reply(key, "", value) for key, value in zip(judged, row.judged, strict=True)
         if not isinstance(value, str)],
    )  # fmt: skip
    return EvaluationItem(
        evaluation_id=of, place=place, line=place + 1, category=row.category,
        turns=[[{"role": "user", "content": str(n)}] for n in range(row.turns)],
        reference=row.reference or {}, answers=keys["ours"], baseline_answers=keys["theirs"],
        judgments=judged,
    )  # fmt: skip


def value(summary: Summary, metric: str, category: str | None = None) -> tuple[Any, Any, Any]:
    """The values of the model, the baseline and their difference; None where there is none."""
    (found,) = [s for s in summary.scores if (s["metric"], s["category"]) == (metric, category)]
    return tuple(  # type: ignore[return-value]
        found[side] and pytest.approx(found[side]["value"])
        for side in ("model", "baseline", "difference")
    )


NO_COMMA = {"key": 1, "instruction_id_list": ["punctuation:no_comma"] * 2, "kwargs": [{}, {}]}
LOWER = {"key": 1122, "instruction_id_list": ["change_case:english_lowercase"], "kwargs": [{}]}


def test_ifeval_by_prompt_instruction_and_kind(session: Session, caller: Caller) -> None:
    found = evaluation(session, caller, "ifeval", [
        Row(["a b"], ["a, b"], reference=NO_COMMA),
        Row(["A, b..."], ["a b"], reference=NO_COMMA),
        Row(["<think>A, B</think>it is a good day."], ["IT IS A GOOD DAY."], reference=LOWER),
        Row([], ["a b"], reference=NO_COMMA),
    ])  # fmt: skip
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "prompt_strict") == (2 / 3, 2 / 4, 1 / 3)
    assert value(summary, "instruction_strict") == (3 / 5, 4 / 7, 1 / 3)
    assert value(summary, "instruction_strict", "change_case:english_lowercase") == (1, 0, 1)
    assert value(summary, "prompt_strict", scores.RANDOM) == (1, 0, 1)
    assert [each.change for each in summary.results] == [1, -1, 1, None]
    assert summary.results[0].result == {
        "strict": [True, True], "loose": [True, True],
        "baseline": {"strict": [False, False], "loose": [False, False]},
    }  # fmt: skip
    assert summary.results[3].result is None
    assert [each.cut_off for each in summary.results] == [False, True, False, False]
    assert summary.counts == {
        "answered": 3, "judged": 0, "cut_off": 1, "unparsed": 0, "failed": 1,
    }  # fmt: skip


@shared
def test_gpt4_on_ifeval_has_the_accuracies_of_its_items(session: Session, caller: Caller) -> None:
    given = {row["prompt"]: row["response"] for row in rows("ifeval_gpt4_responses.jsonl")}
    items = [
        Row([given[row["prompt"]]], reference={key: row[key] for key in SUITES["ifeval"].fields})
        for row in rows("ifeval_prompts.jsonl")[:60] if row["prompt"] in given
    ]  # fmt: skip
    found = evaluation(session, caller, "ifeval", items)
    summary = scores.summarise(session, found, caller.org_id)
    followed = [all((each.result or {})["strict"]) for each in summary.results]
    assert value(summary, "prompt_strict")[0] == sum(followed) / len(followed)
    assert scores.summarise(session, found, caller.org_id) == summary


def test_a_judge_in_both_orders(session: Session, caller: Caller) -> None:
    found = evaluation(session, caller, "custom", [
        Row(theirs=["No."], judged=[1, 0], category="a"),  # won in both orders
        Row(theirs=["No."], judged=[1, 1], category="a"),  # the first one wins: a draw
        Row(theirs=["No."], judged=[0, 1], category="b"),  # lost
        Row(theirs=["No."], judged=[0.5, None], category="b"),  # no verdict in one order
        Row(theirs=["No."], judged=[1, NONE], category="b"),  # the judge was down
        Row(["Yes."], [], category="b"),  # the baseline did not answer
    ], kind="openai")  # fmt: skip
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "win_rate") == (1 / 2, 1 / 2, 0)
    assert value(summary, "win_rate", "a") == (3 / 4, 1 / 4, 1 / 2)
    assert [each.change for each in summary.results] == [1, 0, -1, None, None, None]
    assert summary.results[1].result == {"win_rate": 0.5, "flipped": True}
    assert summary.counts == {
        "answered": 5, "judged": 3, "cut_off": 0, "unparsed": 1, "failed": 2,
    }  # fmt: skip
    preference = summary.details["preference"]
    assert {name: preference[name] for name in ("wins", "draws", "losses", "unparsed")} == {
        "wins": 1, "draws": 1, "losses": 1, "unparsed": 2,
    }  # fmt: skip
    assert preference["flip_rate"]["value"] == pytest.approx(1 / 3)
    assert preference["length_controlled"] is None  # fewer than ten pairs


def test_a_judge_that_always_names_the_first(session: Session, caller: Caller) -> None:
    items = [Row(["Yes." * n], ["No."], judged=[1, 1]) for n in range(1, 21)]
    found = evaluation(session, caller, "custom", items, kind="openai")
    preference = scores.summarise(session, found, caller.org_id).details["preference"]
    names = ("win_rate", "flip_rate", "first_wins", "length_controlled")
    assert [round(preference[name]["value"], 3) for name in names] == [0.5, 1, 1, 0.5]


def test_one_order(session: Session, caller: Caller) -> None:
    items = [Row(theirs=["No."], judged=[1]), Row(theirs=["No."], judged=[0])]
    found = evaluation(session, caller, "custom", items, kind="openai", orders=1)
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "win_rate")[0] == 0.5
    assert summary.details["preference"]["flip_rate"] is None


@pytest.mark.parametrize(("suite", "orders"), [("reward", 2), ("custom", 2), ("custom", 1)])
def test_a_reward_model_rates_or_compares(
    suite: str, orders: int, session: Session, caller: Caller
) -> None:
    items = [
        Row(theirs=["No."], judged=[2.5, 1.0]), Row(theirs=["No."], judged=[-1.0, 1.0]),
        Row(theirs=["No."], judged=[3.0, 3.0]), Row(theirs=["No."], judged=[7.0, None]),
    ]  # fmt: skip
    found = evaluation(session, caller, suite, items, kind="reward", orders=orders)
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "win_rate") == (0.5, 0.5, 0)
    assert [each.change for each in summary.results] == [1.5, -2, 0, None]
    assert (summary.counts["judged"], summary.counts["unparsed"]) == (3, 1)
    preference = summary.details["preference"]
    assert (preference["wins"], preference["draws"], preference["losses"]) == (1, 1, 1)
    assert (preference["flip_rate"], preference["first_wins"]) == (None, None)
    histogram = summary.details["rewards"]
    assert (sum(histogram["model"]), sum(histogram["baseline"])) == (4, 3)
    assert (len(histogram["edges"]), histogram["edges"][0]) == (41, -1)
    if suite == "reward":
        assert value(summary, "reward") == (11.5 / 4, 5 / 3, (1.5 - 2) / 3)


def test_rewards_without_a_baseline(session: Session, caller: Caller) -> None:
    items = [Row(judged=[1.0]), Row(judged=[2.0])]
    found = evaluation(session, caller, "reward", items, kind="reward")
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "reward") == (1.5, None, None)
    assert summary.details["rewards"]["baseline"] is None
    assert "preference" not in summary.details
    assert summary.results[0].result == {"reward": 1.0}


def test_the_turns_of_mt_bench(session: Session, caller: Caller) -> None:
    ours, theirs = ["a", "b"], ["c", "d"]
    found = evaluation(session, caller, "mt_bench", [
        Row(ours, theirs, [8, 6, 4, 4], "writing", turns=2),
        Row(ours, theirs, [2, None, 4, 4], "math", turns=2),
    ], kind="openai")  # fmt: skip
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "rating") == (16 / 3, 4, (3 - 2) / 2)
    assert value(summary, "rating_turn_1") == (5, 4, 1)
    assert value(summary, "rating_turn_2") == (6, 4, 2)
    assert value(summary, "rating", "writing") == (7, 4, 3)
    assert summary.results[0].result == {
        "rating": 7, "rating_turn_1": 8, "rating_turn_2": 6,
        "baseline": {"rating": 4, "rating_turn_1": 4, "rating_turn_2": 4},
    }  # fmt: skip
    assert (summary.counts["judged"], summary.counts["unparsed"]) == (1, 1)


@shared
def test_the_published_ratings_of_mt_bench(session: Session, caller: Caller) -> None:
    by_question: dict[int, dict[int, float]] = {}
    for row in rows("mtbench_judgments_orpo_trl.jsonl"):
        by_question.setdefault(row["question_id"], {})[row["turn"]] = row["score"]
    items = [Row(["a", "b"], (), [of[1], of[2]], turns=2) for of in by_question.values()]
    found = evaluation(session, caller, "mt_bench", items, kind="openai")
    summary = scores.summarise(session, found, caller.org_id)
    names = ("rating", "rating_turn_1", "rating_turn_2")
    assert [value(summary, name)[0] for name in names] == [7.165625, 7.73125, 6.6]


def test_alpaca_eval_has_a_rate_at_equal_lengths(session: Session, caller: Caller) -> None:
    items = [Row(["Yes." * (1 + n % 7)], ["No." * 4], [0.9, 0.2]) for n in range(20)]
    found = evaluation(session, caller, "alpaca_eval", items, kind="openai")
    summary = scores.summarise(session, found, caller.org_id)
    assert value(summary, "win_rate")[0] == 0.85
    assert value(summary, "win_rate_length_controlled")[0] == pytest.approx(0.85, abs=0.02)


def test_a_summary_is_written_once_for_all_items(session: Session, caller: Caller) -> None:
    items = [Row(["a b"], ["a, b"], reference=NO_COMMA), Row([], reference=NO_COMMA)]
    found = evaluation(session, caller, "ifeval", items)
    scores.store(session, found, scores.summarise(session, found, caller.org_id))
    session.expire_all()
    first, second = (session.get_one(EvaluationItem, (found.id, at)) for at in range(2))
    assert (first.change, first.cut_off) == (1, False)
    assert first.result
    assert first.result["strict"] == [True, True]
    assert (second.result, second.change) == (None, None)
    # Not the JSON value null: items without a result are left out by SQL.
    has_none = select(EvaluationItem.place).where(EvaluationItem.result.is_(None))
    assert session.scalars(has_none).all() == [1]
    assert found.counts["of"] == 9
    assert found.counts["answered"] == 1
    assert found.scores[0]["metric"] == "prompt_strict"

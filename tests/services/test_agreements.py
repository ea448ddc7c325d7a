"""How often judges agree with people, measured by the real worker."""

from typing import Any

import pytest

from models import Comparison, Judge
from models.base import new_id
from models.jobs import JobState
from services.evaluations import agreements
from services.evaluations.agreements import Labels
from services.platform.database import transaction
from tests.evals.data import rows, shared
from tests.services import evaluated
from tests.services.evaluated import prompt_file
from tests.services.fake_openai import Body, Reply, prompt_of
from tests.services.judging import Scorer, World, failed, reward, scorer, world

__all__ = ["reward", "scorer", "world"]


def measure(world: World, judge_id: str, labels: Labels, data: str | None = None) -> str:
    with transaction() as session:
        return agreements.create(session, world.caller, judge_id, labels, data).id


def agreement_of(judge_id: str) -> dict[str, Any]:
    with transaction() as session:
        return session.get_one(Judge, judge_id).agreement


LABELLED = [
    {"turns": [f"Add {n}"], "input": f"Add {n}", "output_1": f"right {n}", "output_2": f"wrong {n}",
     "label": 1}
    for n in range(30)
]  # fmt: skip


@pytest.mark.parametrize(("better", "average"), [("right", 1.0), ("wrong", 0.0)])
def test_agreement_with_labels_is_measured_and_stored(
    world: World, better: str, average: float
) -> None:
    world.judging(lambda first, _: "[[A]]" if better in first else "[[B]]")
    with transaction() as session:
        data = prompt_file(session, world.caller, LABELLED).id
    job, evaluation = world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = agreement_of(world.judge_id)["llmbar"]
    assert (found["average"]["value"], found["n"], found["unparsed"]) == (average, 30, 0)
    assert found["worse_than_a_coin"] is (better == "wrong")
    assert found["evaluation"] == evaluation.id
    assert {each["metric"] for each in evaluation.scores} == {"average", "both", "equal", "decided"}
    assert (len(world.judge.asked), world.models.asked) == (60, [])
    with transaction() as session:
        changes = {item.change for item in evaluated.items(session, evaluation.id)}
    assert changes == {average - 1}
    # Measured again, nothing is asked again.
    world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    assert len(world.judge.asked) == 60


@shared
def test_gpt4_on_llmbar_has_the_published_agreement(world: World, settings_from: Any) -> None:
    """GPT-4's published verdicts, given by a server, come out as LLMBar's published figures."""
    published = rows("llmbar/Natural/GPT-4_Vanilla.result.json")
    winners = {
        (row["input"], row["output_1"]): {
            order: said["winner"] for part in row["results"] for order, said in part.items()
        }
        for row in published
    }

    def gpt4(_: int, body: Body) -> Reply:
        prompt = prompt_of(body)
        for (asked, output), of_order in winners.items():
            if f"# Request\n{asked}\n" in prompt and f"\n{output}\n" in prompt:
                is_first = f"# Answer A\n{output}\n" in prompt
                won = of_order["swap = False" if is_first else "swap = True"] == "1"
                return Reply("[[A]]" if won == is_first else "[[B]]")
        return Reply("Unknown.")

    world.judge.reply = gpt4
    settings_from(evals_at_once=8)
    lines = [{"turns": [row["input"]], **row} for row in published]
    with transaction() as session:
        data = prompt_file(session, world.caller, lines).id
    world.run(measure(world, world.judge_id, Labels.LLMBAR, data))
    found = agreement_of(world.judge_id)["llmbar"]
    assert [found[name]["value"] for name in ("average", "both", "equal")] == [0.955, 0.93, 0.95]
    assert len(world.judge.asked) == 200


def test_agreement_with_votes_of_this_organisation(
    world: World, scorer: Scorer, reward: str
) -> None:
    asked = {"messages": [{"role": "user", "content": "Why?"}]}
    texts = [("tuned 1", "base 1", "a"), ("base 2", "tuned 2", "a"), ("tuned 3", "tuned 4", "tie")]
    with transaction() as session:
        other = evaluated.records.caller(session, "stranger")
        for first, second, choice in texts:
            for owner in (world.caller, other):
                said = [
                    {"side": n, "text": t, "asked": asked} for n, t in enumerate((first, second))
                ]
                session.add(
                    Comparison(id=new_id("cmp"), org_id=owner.org_id, sides=said, choice=choice)
                )
    job, evaluation = world.run(measure(world, reward, Labels.VOTES))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    found = agreement_of(reward)["votes"]
    assert found["average"]["value"] == pytest.approx(2 / 3)
    assert (found["decided"]["value"], found["n"]) == (0.5, 3)
    assert evaluation.counts["prompts"] == 3
    assert len(scorer.scored) == 6


def test_a_file_without_labels_ends_it_with_a_sentence(world: World) -> None:
    with transaction() as session:
        data = prompt_file(session, world.caller, [{"turns": ["Why?"]}]).id
    job, _ = world.run(measure(world, world.judge_id, Labels.PANDALM, data))
    assert "no labelled pair. Each row needs `instruction`" in failed(job)
    assert agreement_of(world.judge_id) == {}

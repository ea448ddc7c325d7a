"""AlpacaEval and MT-Bench, judged by the real worker."""

from typing import Any

import pytest

from models.jobs import JobState
from services.platform.database import transaction
from tests.services.evaluated import prompt_file
from tests.services.fake_openai import Reply, prompt_of
from tests.services.judging import World, failed, world

__all__ = ["world"]


def alpaca(world: World, **fields: Any) -> str:
    prompts = [{"turns": [f"Prompt {n}"], "output": f"Reference {n}."} for n in range(4)]
    with transaction() as session:
        data = prompt_file(session, world.caller, prompts).id
    return world.create(suite="alpaca_eval", data=data, baseline=None, **fields)


def test_alpaca_eval_reads_the_logprobs_of_one_token(world: World) -> None:
    world.judge.reply = lambda *_: Reply("m", logprobs={"m": -0.1, "M": -3.0})
    job, evaluation = world.run(alpaca(world))
    assert job.state == JobState.SUCCEEDED
    assert evaluation.details["preference"]["first_wins"]["value"] == pytest.approx(0.948, abs=0.01)
    assert {(body["logprobs"], body["top_logprobs"]) for body in world.judge.asked} == {(True, 5)}


def test_a_judge_without_logprobs_ends_alpaca_eval_with_a_sentence(world: World) -> None:
    world.judge.reply = lambda *_: Reply("m")
    job, _ = world.run(alpaca(world))
    assert "use a judge that returns logprobs" in failed(job)


def test_alpaca_eval_1_reads_a_ranking(world: World) -> None:
    ranking = "[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]"
    world.judge.reply = lambda *_: Reply(ranking)
    prompt = "{instruction} model_1: {output_1} model_2: {output_2}"
    job, evaluation = world.run(alpaca(world, judge_prompt=prompt, orders=1))
    assert job.state == JobState.SUCCEEDED
    assert evaluation.details["preference"]["losses"] == 4
    assert "logprobs" not in world.judge.asked[0]


def test_mt_bench_rates_each_turn(world: World) -> None:
    turns = [
        {"turns": [f"First {n}", f"Second {n}"], "category": "math", "reference": ["r1", "r2"]}
        for n in range(2)
    ]
    world.judge.reply = lambda _, body: Reply(
        "It is good. Rating: [[8]]" if "# Request 2" in prompt_of(body) else "Rating: [[6]]"
    )
    with transaction() as session:
        data = prompt_file(session, world.caller, turns).id
    job, evaluation = world.run(world.create(suite="mt_bench", data=data, baseline=None))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    scores = {each["metric"]: each["model"] for each in evaluation.scores if not each["category"]}
    assert [scores[name]["value"] for name in ("rating", "rating_turn_1", "rating_turn_2")] == [
        7, 6, 8,
    ]  # fmt: skip
    assert len(world.judge.asked) == 4
    assert "r2" in prompt_of(world.judge.asked[1])

"""The reward model that scores a policy's answers: the right one, at the right token, or none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orpo.contract.spec import read_spec
from orpo.model.reward_model import load_reward_model
from orpo.process.parallel import Single
from orpo.run import train
from orpo.run.scorer import RewardScorer
from orpo.tokens import prepare
from orpo.tokens.example import Example
from orpo.tokens.pack import collate
from orpo.tokens.templates import load_tokenizer
from tests.orpo.tiny_run import END, TEMPLATE, Bench, checkpoint, numbers, records, write_base

SETTINGS: dict[str, Any] = {
    "type": "ppo", "reward_model": "judge", "batch_size": 4, "minibatch_size": 2, "ppo_epochs": 1,
    "max_new_tokens": 4, "max_steps": 1, "eval_every": 1,
}  # fmt: skip


def judge(bench: Bench, tuning: str = "lora", **settings: Any) -> Path:
    """A reward model after two steps."""
    run = bench.run("judge", type="reward", tuning=tuning, max_steps=2, **settings)
    return checkpoint(run, 2)


def answer(line: int, prompt: list[int], tokens: list[int]) -> Example:
    return Example(
        line, prompt, tokens, None, [False] * len(prompt), [True] * len(tokens), [],
        truncated=False,
    )  # fmt: skip


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_an_answer_is_scored_at_the_token_that_ends_a_turn(bench: Bench, tuning: str) -> None:
    folder = judge(bench, tuning)
    spec = read_spec(bench.spec("ppo", reward_path=folder, **SETTINGS))
    scorer = RewardScorer(spec, Single(), load_tokenizer(bench.base))
    ended = answer(1, [5, 6, 7], [8, 9, END])
    cut_off = answer(2, [5, 6], [9, 9, 9, 9])
    other = replace(ended, chosen=[8, 9, 1])
    found = scorer([ended, cut_off, other]).tolist()
    model = load_reward_model(folder)
    alone = [ended, replace(cut_off, chosen=[9, 9, 9, END])]
    expected = [float(model.rewards(collate([each], True))) for each in alone]
    assert found == pytest.approx([*expected, expected[0]], abs=1e-5)
    assert expected[0] != pytest.approx(expected[1], abs=1e-3)


def test_a_run_is_scored_by_its_reward_model(bench: Bench) -> None:
    run = bench.run("ppo", reward_path=judge(bench), **SETTINGS)
    values = numbers(run)[1, "held_out"]
    assert values["reward/sd"] > 0
    assert values["loss"] == -values["reward/mean"]


@pytest.mark.parametrize(
    ("reward_path", "sentence"),
    [("none", "was not found"), ("policy", "is no reward model"), ("other", "another tokenizer")],
)
def test_what_can_not_score_is_refused_by_field_before_a_device_is_used(
    bench: Bench, capsys: pytest.CaptureFixture[str], reward_path: str, sentence: str
) -> None:
    folder = None
    if reward_path == "policy":
        folder = checkpoint(bench.run("orpo", max_steps=2), 2)
    elif reward_path == "other":
        template = TEMPLATE.replace("<|im_end|>", " <|im_end|>")
        folder = judge(bench, base=write_base(bench.folder / "other", template=template))
    run = bench.spec("ppo", reward_path=folder, **SETTINGS)
    assert prepare.main(run) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["param"] == "method.reward_model"
    assert sentence in error["message"]
    assert train.main(run) == 2
    assert records(run, "events")[-1]["data"]["param"] == "method.reward_model"

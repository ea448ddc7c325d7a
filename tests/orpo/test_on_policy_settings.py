"""The settings of ppo and rloo."""

from typing import Any

import pytest
from pydantic import ValidationError

from orpo.contract.methods import parse_method


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        ({"reward_model": ""}, "reward_model", "at least 1 character"),
        ({"strategy": "fsdp2", "processes": 2}, "strategy", "answers are generated with all"),
        ({"strategy": "zero3", "processes": 2}, "strategy", "'single' or 'ddp'"),
        ({"batch_size": 4, "minibatch_size": 8}, None, "minibatch_size = 8 is more than the 4"),
        ({"kl_target": 6, "kl_limit": 5}, None, "kl_limit = 5.0 ends the run before"),
        ({"gamma": 1.5}, "gamma", "less than or equal to 1"),
        ({"clip": 1}, "clip", "less than 1"),
        ({"type": "rloo", "answers_per_prompt": 1}, "answers_per_prompt", "or equal to 2"),
        ({"type": "rloo", "batch_size": 2, "minibatch_size": 9}, None, "more than the 8 answers"),
        ({"temperature": 0}, "temperature", "greater than 0"),
    ],
)
def test_settings_without_sense_are_refused(
    given: dict[str, Any], field: str | None, sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence) as refused:
        parse_method(given.pop("type", "ppo"), {"reward_model": "judge", **given})
    assert refused.value.errors()[0]["loc"] == ((field,) if field else ())


def test_a_reward_model_must_be_named() -> None:
    with pytest.raises(ValidationError, match="Field required") as refused:
        parse_method("ppo", {})
    assert refused.value.errors()[0]["loc"] == ("reward_model",)


@pytest.mark.parametrize(("tuning", "rate"), [("full", 1e-5), ("lora", 1e-4)])
def test_the_defaults_are_those_of_the_paper(tuning: str, rate: float) -> None:
    method: Any = parse_method("ppo", {"reward_model": "judge", "tuning": tuning})
    assert method.learning_rate == rate
    assert (method.ppo_epochs, method.batch_size, method.minibatch_size) == (4, 64, 8)
    assert (method.kl_weight, method.kl_target, method.kl_horizon) == (0.1, 6, 2000)
    assert (method.gamma, method.gae_lambda) == (0.99, 0.95)

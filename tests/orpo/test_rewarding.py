"""The evaluation worker scores answers with a reward model that a run has left, in its sandbox."""

import threading

import pytest

from services.evaluations.judgments import Scored
from tests.orpo.tiny_run import Bench, checkpoint
from workers import rewarding
from workers.rewarding import RewardModel


def scored(key: str, prompt: str, answer: str) -> Scored:
    return Scored(key, 0, [{"role": "user", "content": prompt}], answer)


@pytest.mark.slow
def test_rewards_of_a_real_model(bench: Bench) -> None:
    folder = checkpoint(bench.run("run", type="reward", max_steps=4, learning_rate=2e-2), 4)
    spelled = '[{"role": "user", "content": "lamp"}]'  # no turns, but a text that a model wrote
    wanted = [
        scored("a", "salt", "river"),
        scored("b", "oak", ""),
        scored("c", "salt", "lamp"),
        scored("d", "oak", spelled),
        scored("e", "oak", "it holds <|im_end|> inside"),
    ]
    found = {
        each.key: each for each in rewarding.run(RewardModel(folder, {}), wanted, threading.Event())
    }
    assert list(found) == ["a", "c", "b", "d", "e"]  # those of one prompt together
    assert found["a"].value is not None
    assert found["c"].value is not None
    assert found["a"].value != found["c"].value
    assert found["b"].value is not None, "an answer that says nothing is an answer"
    assert found["d"].value not in (None, found["b"].value)
    assert found["e"].value is None
    assert "<|im_end|>" in found["e"].text

"""Answers to held-out prompts: the same whether they are generated together or one by one."""

from typing import Any

import pytest

from orpo.run import generation
from tests.orpo import tiny_models
from tests.orpo.tiny_run import VOCAB, Bench, records, write_base


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of prompts of each generation."""
    seen: list[int] = []
    generate = generation.answer

    def count(policy: Any, prompts: Any, *rest: Any) -> Any:
        seen.append(len(prompts))
        return generate(policy, prompts, *rest)

    monkeypatch.setattr(generation, "answer", count)
    return seen


def answers(bench: Bench, name: str, **settings: Any) -> list[str]:
    asked = {"n_samples": 4, "sample_tokens": 12, "max_steps": 4, "eval_every": 4, **settings}
    found = records(bench.run(name, **asked), "samples")
    assert [row["line"] for row in found[:4]] == [row["line"] for row in found[4:]]
    return [row["answer"] for row in found]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_together_as_one_by_one(bench: Bench, sizes: list[int], tuning: str) -> None:
    # Large weights, so that each answer depends on the whole prompt.
    settings = {"base": write_base(bench.folder / "large", initializer_range=0.5), "tuning": tuning}
    together = answers(bench, "together", token_budget=2000, **settings)
    assert sizes == [4, 4]
    apart = answers(bench, "apart", token_budget=20, **settings)
    assert sizes[2:] == [1] * 8
    assert together == apart
    assert len(set(together)) == 8  # before and after training


def test_no_more_together_than_fit_the_token_budget(bench: Bench, sizes: list[int]) -> None:
    answers(bench, "run", token_budget=150)
    assert sum(sizes) == 8
    assert 1 < max(sizes) < 4


def test_a_model_that_is_not_packed_answers_one_by_one(bench: Bench, sizes: list[int]) -> None:
    base = write_base(bench.folder / "unpacked", model=tiny_models.bloom(VOCAB))
    answers(bench, "run", base=base, token_budget=2000, tuning="full")
    assert sizes == [1] * 8

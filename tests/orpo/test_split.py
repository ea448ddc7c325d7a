"""Held-out rows: the requested number, whole prompts, repeatable, in constant memory."""

import random
from collections.abc import Iterator

import pytest

from orpo.contract.held_out import hold_out
from orpo.rows.row_shapes import Message
from tests.memory import peaks


def prompts(n: int, a_prompt: int = 1) -> Iterator[list[Message]]:
    """The prompts of `n` rows; `a_prompt` rows, which are not adjacent, share each prompt."""
    return ([{"role": "user", "content": f"Say {at % (n // a_prompt)}."}] for at in range(n))


@pytest.mark.parametrize(
    ("n", "fraction", "at_most", "expected"),
    [
        (1000, 0.1, 64, 64),
        (1000, 0.02, 64, 20),
        (30, 0.5, 64, 15),
        (1000, 0.5, 0, 0),
        (1000, 0, 64, 0),
        (0, 0.1, 64, 0),
    ],
)
def test_as_many_are_held_out_as_asked(
    n: int, fraction: float, at_most: int, expected: int
) -> None:
    assert len(hold_out(prompts(n), fraction, at_most, seed=1)) == expected


def test_rows_of_a_prompt_go_together_and_one_with_too_many_goes_by() -> None:
    rows = list(prompts(300, a_prompt=3))
    often: list[list[Message]] = [[{"role": "user", "content": "Hello."}]] * 200
    for seed in range(20):
        held_out = hold_out([*often, *rows], 0.1, 20, seed)
        assert len(held_out) == 18
        assert min(held_out) >= 200
        of_prompts = {rows[place - 200][0]["content"] for place in held_out}
        assert len(of_prompts) == 6


def test_the_seed_and_the_prompts_decide_and_not_their_order() -> None:
    rows = list(prompts(500))
    first = {rows[place][0]["content"] for place in hold_out(rows, 0.1, 40, seed=1)}
    random.Random(0).shuffle(rows)
    again = {rows[place][0]["content"] for place in hold_out(rows, 0.1, 40, seed=1)}
    other = {rows[place][0]["content"] for place in hold_out(rows, 0.1, 40, seed=2)}
    assert first == again
    assert len(first & other) < 15


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    few, many = peaks(hold_out_of, 1000, 50_000)
    assert many < few + 20_000


def hold_out_of(n: int) -> None:
    hold_out(prompts(n), 0.5, 64, seed=0)

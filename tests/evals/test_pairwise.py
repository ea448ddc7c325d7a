"""Prompts that are asked, and a judge's prompt and verdict."""

import pytest

from evals import judge_prompts, pairwise, prompts


def test_each_prompt_is_asked_once() -> None:
    found = prompts.draw(["a", " ", "b", "a", "", "c"])
    assert found == prompts.Prompts(("a", "b", "c"), of=3, empty=2, repeated=1)
    assert not found.is_subset


def test_a_limit_draws_the_same_subset_and_a_smaller_one_a_part_of_it() -> None:
    texts = [f"Question {n}?" for n in range(100)]
    ten, five = prompts.draw(texts, 10, seed=3), prompts.draw(texts, 5, seed=3)
    assert ten == prompts.draw(texts, 10, seed=3)
    assert set(five.asked) < set(ten.asked)
    assert ten.asked != prompts.draw(texts, 10, seed=4).asked
    assert list(ten.asked) == sorted(ten.asked, key=texts.index)
    assert (ten.is_subset, ten.of) == (True, 100)
    assert not prompts.draw(texts, 100).is_subset


def test_nothing_to_ask_is_an_error() -> None:
    with pytest.raises(ValueError, match="no prompt"):
        prompts.draw([" ", "\n"])
    with pytest.raises(ValueError, match="at least 1"):
        prompts.draw(["a"], 0)


def test_our_own_prompt_shows_everything_once() -> None:
    (message,) = judge_prompts.compare("custom", None, "<p>", "<one>", "<two>")
    shown = message["content"]
    assert [shown.count(text) for text in ("<p>", "<one>", "<two>")] == [1, 1, 1]
    assert shown.index("<one>") < shown.index("<two>")


def test_a_prompt_without_a_place_is_refused() -> None:
    assert "lacks `{first}` and `{second}`." in str(pairwise.problem("{prompt}"))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("A is right.\n[[A]]", 1.0),
        ("[[ b ]]", 0.0),
        ("Both are fine. [[TIE]]", 0.5),
        ("[[A]] is tempting. [[A]]", 1.0),
        ("[[A]] or [[B]]", None),
        ("Answer A is better.", None),
        ("", None),
    ],
    ids=["first", "second", "tie", "twice", "both", "prose", "empty"],
)
def test_a_verdict_is_read(reply: str, value: float | None) -> None:
    assert pairwise.verdict(reply) == value

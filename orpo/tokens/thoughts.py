"""Thoughts of answers: beside the content (`reasoning_content`), or between `<think>` and
`</think>` at its start.

Knows messages and rendered text; knows no templates.
"""

from dataclasses import replace

from orpo.rows.formats import Message, Pair, Reject
from orpo.rows.thoughts import LEADING, without_thought

# Ends an empty thought that a generation prompt has opened.
CLOSE = "</think>\n\n"


def thought_of(turn: Message) -> str:
    """The thought of an assistant turn, or ""."""
    if turn["role"] != "assistant":
        return ""
    found = LEADING.match(turn["content"])
    return turn.get("reasoning_content") or (found[1] if found else "")


def has_thoughts(turns: list[Message] | None) -> bool:
    """Whether one of the turns has a thought, even an empty one."""
    return any(without_thought(turn) != turn for turn in turns or ())


def without_thoughts(pair: Pair) -> Pair:
    """The pair without the thoughts of its answers; those of its prompt stay.

    Raises `Reject("answer_lost")` if nothing is left of an answer, or of their difference.
    """
    chosen = [*map(without_thought, pair.chosen)]
    rejected = None if pair.rejected is None else [*map(without_thought, pair.rejected)]
    for turn in (*chosen, *(rejected or ())):
        if (
            turn["role"] == "assistant"
            and not turn["content"].strip()
            and not turn.get("tool_calls")
        ):
            raise Reject(
                "answer_lost",
                "An answer holds nothing but a thought, and reasoning (strip, auto) removes it.",
            )
    if chosen == rejected:
        raise Reject(
            "answer_lost",
            "The answers differ in their thoughts only, and reasoning (strip, auto) removes these.",
        )
    return replace(pair, chosen=chosen, rejected=rejected)


def lost_from(turns: list[Message], text: str) -> bool:
    """Whether a thought of one of the turns does not occur in their rendered text."""
    thoughts = filter(None, map(thought_of, turns))
    return any("".join(thought.split()) not in "".join(text.split()) for thought in thoughts)


def is_open(prompt: str) -> bool:
    """Whether a rendered generation prompt ends inside a thought."""
    return prompt.rstrip().endswith("<think>")

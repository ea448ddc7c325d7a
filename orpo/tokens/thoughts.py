"""Thoughts of answers: beside the content (`reasoning_content`), or between `<think>` and
`</think>` at its start.

Knows messages and rendered text; knows no templates.
"""

import re
from dataclasses import replace

from orpo.rows.formats import Message, Pair, Reject

LEADING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
# Ends an empty thought that a generation prompt has opened.
CLOSE = "</think>\n\n"
OPEN = "<think>"


def thought_of(turn: Message) -> str:
    """The thought of an assistant turn, or ""."""
    if turn["role"] != "assistant":
        return ""
    found = LEADING.match(turn["content"])
    return turn.get("reasoning_content") or (found[1] if found else "")


def has_thoughts(turns: list[Message] | None, *, unopened: bool = False) -> bool:
    """Whether one of the turns has a thought, even an empty one; see `without_thoughts`."""
    return any(_without(turn, unopened) != turn for turn in turns or ())


def without_thoughts(pair: Pair, *, unopened: bool = False) -> Pair:
    """The pair without the thoughts of its answers; those of its prompt stay.

    With `unopened`, text before a `</think>` is a thought even if no `<think>` opens it: so write
    models whose prompt opened it. Raises `Reject("answer_lost")` if nothing is left of an answer,
    or of their difference.
    """
    chosen = [_without(turn, unopened) for turn in pair.chosen]
    rejected = pair.rejected and [_without(turn, unopened) for turn in pair.rejected]
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


def _without(turn: Message, unopened: bool) -> Message:
    if turn["role"] != "assistant":
        return turn
    kept = turn.copy()
    kept.pop("reasoning_content", None)
    if found := LEADING.match(turn["content"]):
        kept["content"] = turn["content"][found.end() :]
    elif unopened and OPEN not in turn["content"]:
        before, closed, after = turn["content"].partition(CLOSE.strip())
        kept["content"] = after.lstrip() if closed else before
    return kept


def lost_from(turns: list[Message], text: str) -> bool:
    """Whether a thought of one of the turns does not occur in their rendered text."""
    thoughts = filter(None, map(thought_of, turns))
    return any("".join(thought.split()) not in "".join(text.split()) for thought in thoughts)


def is_open(prompt: str) -> bool:
    """Whether a rendered generation prompt ends inside a thought."""
    return prompt.rstrip().endswith(OPEN)


def within_thought(answer: str) -> str:
    """A rendered answer as it follows a prompt that has opened a thought.

    Its own `<think>` is left out. An answer without a thought begins with the end of an empty one:
    it must not be trained as a thought.
    """
    if CLOSE.strip() not in answer:
        return CLOSE + answer
    begins = answer.lstrip()
    return begins.removeprefix(OPEN).lstrip() if begins.startswith(OPEN) else answer

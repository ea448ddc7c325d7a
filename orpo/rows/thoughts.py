"""Thoughts of an assistant's turn: beside its content (`reasoning_content`), or between `<think>`
and `</think>` at its start.
"""

import re

from orpo.rows.messages import Message

LEADING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


OPEN, CLOSE = "<think>", "</think>"


def without_thought(turn: Message, *, unopened: bool = False) -> Message:
    """The turn without its thought; a turn that has none, or is not the assistant's, is equal.

    With `unopened`, text before a `</think>` is a thought even if no `<think>` opens it: so write
    models whose prompt opened it.
    """
    if turn["role"] != "assistant":
        return turn
    kept = turn.copy()
    kept.pop("reasoning_content", None)
    if found := LEADING.match(turn["content"]):
        kept["content"] = turn["content"][found.end() :]
    elif unopened and OPEN not in turn["content"]:
        before, closed, after = turn["content"].partition(CLOSE)
        kept["content"] = after.lstrip() if closed else before
    return kept


def spoken(text: str) -> str:
    """What a model's reply says, without its thought; empty if the reply ends within it."""
    if text.lstrip().startswith(OPEN) and CLOSE not in text:
        return ""
    return without_thought(Message(role="assistant", content=text), unopened=True)["content"]

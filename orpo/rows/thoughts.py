"""Thoughts of an assistant's turn: beside its content (`reasoning_content`), or between `<think>`
and `</think>` at its start.
"""

import re

from orpo.rows.messages import Message

LEADING = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def without_thought(turn: Message) -> Message:
    """The turn without its thought; a turn that has none, or is not the assistant's, is equal."""
    if turn["role"] != "assistant":
        return turn
    kept = turn.copy()
    kept.pop("reasoning_content", None)
    if found := LEADING.match(turn["content"]):
        kept["content"] = turn["content"][found.end() :]
    return kept

"""The prompts of files that hold no pairs, such as those of a benchmark.

Knows the keys under which prompts are published; knows nothing of what they are compared with.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orpo.rows.column_names import Columns, Renamer
from orpo.rows.messages import Message, Reject, messages
from orpo.rows.rows import read_rows

# The first of these that a row has is its prompt. AlpacaEval and LLMBar have an instruction or an
# input, IFEval a prompt, MT-Bench turns.
KEYS = ("prompt", "question", "messages", "conversations", "instruction", "input", "query", "turns")


def read_prompts(
    path: Path, filename: str, columns: Columns | None = None
) -> Iterator[tuple[int, list[Message] | None]]:
    """Yield the line of each row and its prompt, None where none is found; any container is read.

    Raises OSError.
    """
    renamed = Renamer(columns)
    for row in read_rows(path, filename):
        yield row.line, None if row.finding else prompt_of(renamed(row.value))


def prompt_of(value: Any) -> list[Message] | None:
    """The messages up to the last question; None if the row has none of `KEYS`.

    A row that is text is a prompt itself. An instruction is followed by its input, as in pairs.
    """
    try:
        turns = _messages(value)
    except Reject:
        return None
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns or None


def _messages(value: Any) -> list[Message]:
    if isinstance(value, str):
        return messages(value, "row", "user")
    if not isinstance(value, dict):
        return []
    key = next((key for key in KEYS if value.get(key)), None)
    held = value.get(key) if key else None
    match key:
        case None:
            return []
        case "instruction" if isinstance(held, str) and isinstance(value.get("input"), str):
            held = "\n".join(filter(None, (held, value["input"])))
        case "input" if isinstance(held, dict):
            held = held.get("messages")
        case "turns" if isinstance(held, list):
            held = held[0]
    return messages(held, str(key), "user")

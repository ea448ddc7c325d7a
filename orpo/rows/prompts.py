"""The prompts of files that hold no pairs, such as those of a benchmark.

Knows the keys under which prompts are published; knows nothing of what they are compared with, nor
of the suites that they belong to.
"""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from orpo.rows.column_names import Columns, Renamer
from orpo.rows.columns import system_of
from orpo.rows.containers import UNPACKERS
from orpo.rows.messages import Message, Reject, messages
from orpo.rows.row import Finding
from orpo.rows.rows import read_rows

# The first of these that a row has is its prompt. AlpacaEval and LLMBar have an instruction or an
# input, IFEval a prompt, MT-Bench turns.
KEYS = ("prompt", "question", "messages", "conversations", "instruction", "input", "query", "turns")
# The first of these that a row has as a text names its category; AlpacaEval's is a dataset.
CATEGORIES = ("category", "dataset", "subset")
LONGEST_CATEGORY = 100  # characters
MAX_PROMPT_BYTES = 2**20  # no model answers more; a row may be longer for its other fields
TEXT = ".txt"
NO_PROMPT = "no_prompt"


class Asked(NamedTuple):
    """A row and what it asks: `turns` has the messages of each turn of the user, or the `finding`
    says why there is none. `value` has the mapped names.
    """

    line: int
    value: Any
    turns: list[list[Message]]
    finding: Finding | None
    offset_bytes: int


def read_asked(path: Path, filename: str, columns: Columns | None = None) -> Iterator[Asked]:
    """Yield what the rows of a file ask; any container is read, and of a `.txt` file the lines.

    Raises OSError.
    """
    renamed = Renamer(columns)
    for row in read_rows(path, filename, as_text=is_text(filename)):
        value, turns, finding = renamed(row.value), [], row.finding
        if finding is None:
            try:
                turns = turns_of(value)
            except Reject as why:
                code = NO_PROMPT if why.code == "not_a_pair" else why.code
                finding = Finding(row.line, None, code, why.message)
        yield Asked(row.line, value, turns, finding, row.offset_bytes)


def is_text(filename: str) -> bool:
    """Whether a file is named as plain text, packed or not."""
    suffixes = [each.lower() for each in PurePath(filename).suffixes]
    return next((each for each in reversed(suffixes) if each not in UNPACKERS), "") == TEXT


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
        return _messages(value) or None
    except Reject:
        return None


def turns_of(value: Any) -> list[list[Message]]:
    """The messages that a row adds in each turn of the user.

    It is one turn with all messages up to the last question, unless `turns` holds several texts. A
    system text beside the prompt is its first message. Raises Reject if nothing is asked.
    """
    turns = _several(value) or [_messages(value)]
    if turns[0] and isinstance(value, dict):
        turns[0] = system_of(value, turns[0])
    if not turns[0] and not _names_one(value):
        raise Reject(NO_PROMPT, _why_none(value))
    if not all(any(_asks(turn) for turn in asked) for asked in turns):
        raise Reject("empty", "The prompt is empty.")
    if sum(len(turn["content"].encode()) for asked in turns for turn in asked) > MAX_PROMPT_BYTES:
        raise Reject("too_long", f"The prompt is longer than {MAX_PROMPT_BYTES >> 20} MB.")
    return turns


def _why_none(value: Any) -> str:
    """A sentence on a row without a prompt: what is missing, and what was seen instead."""
    keys = sorted(map(str, value))[:12] if isinstance(value, dict) else []
    seen = f" Keys seen: {', '.join(f'{key:.40}' for key in keys)}." if keys else ""
    return f"No prompt was found. A row needs one of: {', '.join(KEYS)}.{seen}"


def category_of(value: Any) -> str | None:
    """The category that a row names, in one line; None if there is none."""
    if not isinstance(value, dict):
        return None
    named = (value[key] for key in CATEGORIES if isinstance(value.get(key), str))
    found = " ".join(next(named, "").split())
    return found if 0 < len(found) <= LONGEST_CATEGORY and found.isprintable() else None


def _asks(turn: Message) -> bool:
    return turn["role"] in ("user", "tool") and bool(turn["content"].strip())


def _names_one(value: Any) -> bool:
    """Whether a row has a key for a prompt, which may be empty."""
    return isinstance(value, dict) and any(key in value for key in KEYS)


def _key_of(value: Any) -> str | None:
    """The first of `KEYS` that a row has, and that is not empty."""
    if not isinstance(value, dict):
        return None
    return next((key for key in KEYS if value.get(key)), None)


def _several(value: Any) -> list[list[Message]] | None:
    """The turns of a row whose `turns` are several texts; None for others."""
    if _key_of(value) != "turns" or not isinstance(value["turns"], list):
        return None
    texts = value["turns"]
    if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return None
    return [messages(text, f"turns[{at}]", "user") for at, text in enumerate(texts)]


def _messages(value: Any) -> list[Message]:
    """The messages of a row up to the last question, which may be none."""
    turns = _all_messages(value)
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns


def _all_messages(value: Any) -> list[Message]:
    if isinstance(value, str):
        return messages(value, "row", "user")
    key = _key_of(value)
    if key is None:
        return []
    held = value[key]
    match key:
        case "instruction" if isinstance(held, str) and isinstance(value.get("input"), str):
            held = "\n".join(filter(None, (held, value["input"])))
        case "input" if isinstance(held, dict):
            held = held.get("messages")
        case "turns" if isinstance(held, list):
            held = held[0]
    return messages(held, key, "user")

"""Rows in their normal form, as bytes: what a recipe changes in one, and how a version stores it.

Knows the bytes that `orpo.rows` writes, so that most rows are never decoded.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from orpo.audit.recipe import Edit, Swap, Words
from orpo.audit.refusals import refused
from orpo.rows.messages import Pair, Reject
from orpo.rows.row_shapes import Shape, parse

PROMPT = b'"prompt":'
CHOSEN = b'],"chosen":[{"role":"assistant"'
# A quote within a text is escaped, so these bytes are never part of a text.
UNPAIRED = b'"rejected":null'
ASSISTANT_FIRST = b'"prompt":[{"role":"assistant"'

# A change of one row: the step's place in the recipe, and the step.
Change = tuple[int, Edit | Swap]


def line_of(row: bytes) -> int:
    """The line of a row, with which its bytes begin: `{"line":7,`."""
    return int(row[8 : row.index(b",")])


def pair_bytes(row: bytes) -> bytes:
    """The part of a row that holds the pair: without line and origin."""
    return row[row.index(PROMPT) :]


def prompt_bytes(row: bytes) -> bytes:
    """The part of a row that holds the prompt."""
    end = row.find(CHOSEN)
    if end < 0:
        return orjson.dumps(orjson.loads(row)["prompt"])
    return row[row.index(PROMPT) : end]


def stored(row: bytes, file_id: bytes) -> bytes:
    """The row of a version, with a line end: a pair of the shape `explicit` (or `messages`), and
    `from`, the file and the line that it is from.
    """
    start = b'{"from":["%b",%d],' % (file_id, line_of(row))
    if UNPAIRED in row or ASSISTANT_FIRST in row:
        return start + orjson.dumps(_spelled_out(orjson.loads(row)))[1:] + b"\n"
    return start + pair_bytes(row)


def _spelled_out(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose pair would be read otherwise: one without a rejected answer, or one whose answer
    begins like its prompt, which then has to be repeated.
    """
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    more = {key: row[key] for key in row if key not in ("line", "from", *PARTS)}
    if rejected is None:
        return {"messages": prompt + chosen, **more}
    answers = {"chosen": chosen, "rejected": rejected}
    for name, answer in answers.items():
        if answer[: len(prompt)] == prompt:
            answers[name] = prompt + answer
    return {"prompt": prompt, **answers, **more}


PARTS = ("prompt", "chosen", "rejected")


def changed(row: bytes, changes: Sequence[Change]) -> bytes:
    """The row with these changes. Raises Failure if it is no pair afterwards."""
    value = orjson.loads(row)
    for at, step in changes:
        _change(value, at, step)
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _change(value: dict[str, Any], at: int, step: Edit | Swap) -> None:
    line = value["line"]
    if isinstance(step, Swap):
        if value["rejected"] is None:
            why = f"line {line} has no rejected answer that could be exchanged."
            raise refused(at, step, "lines", why)
        value["chosen"], value["rejected"] = value["rejected"], value["chosen"]
        return
    for name in PARTS:
        words: Words | None = getattr(step, name)
        if words is not None:
            value[name] = _written(value[name], words)
    # The row has to be one that can be trained on, and that would be read as it is.
    if why := flaw(value):
        raise refused(at, step, None, f"the edit of line {line} makes a row that {why}")


def _written(messages: list[dict[str, Any]] | None, words: Words) -> list[dict[str, Any]]:
    if not isinstance(words, str):
        return [turn.model_dump() for turn in words]
    if not messages:
        return [{"role": "assistant", "content": words}]
    return [*messages[:-1], {**messages[-1], "content": words}]


def flaw(value: dict[str, Any]) -> str | None:
    """Why a row in its normal form can't be trained on, or would be read as another one; None if it
    is fine.
    """
    shape = Shape.MESSAGES if value["rejected"] is None else Shape.EXPLICIT
    try:
        read = parse(_spelled_out(value), shape, value["line"])
    except Reject as reject:
        return f"is dropped: {reject.message}"
    if read != Pair.from_json(value):  # line, prompt and answers
        return "would be read as another one."
    return None

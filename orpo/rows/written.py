"""Writes a pair in its normal form as a row of another shape; reading that gives the same pair.

Knows JSON values, not files.
"""

from collections.abc import Callable
from typing import Any

from orpo.rows.messages import Message, Pair, Reject
from orpo.rows.row_shapes import Shape, detect, parse

HH_NAMES = {"user": "Human", "assistant": "Assistant"}
SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}

Row = dict[str, Any]


def write(pair: Pair, shape: Shape) -> Row:
    """The pair as a row of this shape, which is one of `WRITABLE`. Raises Reject, with a sentence,
    if the shape lacks a place for a part of it; `check` also finds what would be read otherwise.
    """
    return _WRITERS[shape](pair)


def check(pair: Pair, shape: Shape) -> None:
    """Raise Reject, with a sentence, unless reading the written row gives the same pair."""
    row = write(pair, shape)
    if detect(row) is not shape:
        raise _cannot(pair, shape, "it would not be read as this shape.")
    try:
        read = parse(row, shape, pair.line)
    except Reject as reject:
        raise _cannot(pair, shape, reject.message) from None
    if read != pair:
        raise _cannot(pair, shape, "it would be read as another pair.")


def _cannot(pair: Pair, shape: Shape, why: str) -> Reject:
    return Reject(
        "not_this_shape",
        f"The shape {shape} can't hold the pair of line {pair.line}: {why} The shape `explicit` "
        "holds each pair, and `messages` each row without a rejected answer.",
    )


def _rejected(pair: Pair, shape: Shape) -> list[Message]:
    if pair.rejected is None:
        raise _cannot(pair, shape, "it has no rejected answer.")
    return pair.rejected


def _explicit(pair: Pair) -> Row:
    answers = {"chosen": pair.chosen, "rejected": _rejected(pair, Shape.EXPLICIT)}
    return {
        "prompt": pair.prompt,
        **{name: _marked_off(pair.prompt, answer) for name, answer in answers.items()},
    }


def _marked_off(prompt: list[Message], answer: list[Message]) -> list[Message]:
    """The answer; with the prompt before it if it begins like the prompt, which is left out when
    the row is read.
    """
    return prompt + answer if answer[: len(prompt)] == prompt else answer


def _openai(pair: Pair) -> Row:
    return {
        "input": {"messages": pair.prompt},
        "preferred_output": pair.chosen,
        "non_preferred_output": _rejected(pair, Shape.OPENAI),
    }


def _implicit(pair: Pair) -> Row:
    rejected = _rejected(pair, Shape.IMPLICIT)
    return {"chosen": pair.prompt + pair.chosen, "rejected": pair.prompt + rejected}


def _hh_rlhf(pair: Pair) -> Row:
    rejected = _rejected(pair, Shape.HH_RLHF)
    return {
        "chosen": _transcript(pair, pair.chosen),
        "rejected": _transcript(pair, rejected),
    }


def _transcript(pair: Pair, answer: list[Message]) -> str:
    turns = pair.prompt + answer
    if any(turn["role"] not in HH_NAMES for turn in turns):
        raise _cannot(pair, Shape.HH_RLHF, "it has a message of neither a user nor an assistant.")
    return "".join(f"\n\n{HH_NAMES[turn['role']]}: {turn['content']}" for turn in turns)


def _sharegpt(pair: Pair) -> Row:
    rejected = _rejected(pair, Shape.SHAREGPT)
    if len(pair.chosen) > 1 or len(rejected) > 1:
        raise _cannot(pair, Shape.SHAREGPT, "an answer has more than one message.")
    if any(turn["role"] not in SHAREGPT_NAMES for turn in pair.prompt):
        raise _cannot(pair, Shape.SHAREGPT, "it has the result of a tool.")
    return {
        "conversations": [_speaker(turn) for turn in pair.prompt],
        "chosen": _speaker(pair.chosen[0]),
        "rejected": _speaker(rejected[0]),
    }


def _speaker(turn: Message) -> dict[str, str]:
    return {"from": SHAREGPT_NAMES[turn["role"]], "value": turn["content"]}


def _ranked(pair: Pair) -> Row:
    return {
        "prompt": pair.prompt,
        "responses": [pair.chosen, _rejected(pair, Shape.RANKED)],
        "scores": [1, 0],
    }


def _messages(pair: Pair) -> Row:
    if pair.rejected is not None:
        raise _cannot(pair, Shape.MESSAGES, "it has a rejected answer, which would be lost.")
    return {"messages": pair.prompt + pair.chosen}


def _swift(pair: Pair) -> Row:
    rejected = _rejected(pair, Shape.SWIFT)
    return {
        "messages": pair.prompt + pair.chosen,
        "rejected_messages": pair.prompt + rejected,
    }


_WRITERS: dict[Shape, Callable[[Pair], Row]] = {
    Shape.EXPLICIT: _explicit,
    Shape.OPENAI: _openai,
    Shape.IMPLICIT: _implicit,
    Shape.HH_RLHF: _hh_rlhf,
    Shape.SHAREGPT: _sharegpt,
    Shape.RANKED: _ranked,
    Shape.MESSAGES: _messages,
    Shape.SWIFT: _swift,
}
# The shapes that a pair can be written in; the others don't hold a pair as it is.
WRITABLE = tuple(_WRITERS)

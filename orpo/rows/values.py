"""JSON values of a row: why one is refused, and checks that it can be kept and written as it is.

Knows values; knows nothing of messages, tools or rows.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

# Arguments and schemas that nest deeper are refused: the writer has a limit of its own.
DEEPEST = 100
# Larger numbers are read as floats, which have other digits.
LARGEST = 2**63


class Reject(ValueError):
    """Why a row can't be trained on: a `code` for the counts, a sentence that says what to do."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def text(value: Any, name: str) -> str:
    """The text as it is; raises `Reject` if it can't be written as UTF-8, or is no text."""
    if not isinstance(value, str):
        what = "has no text" if value is None else f"is {json_type(value)}; text was expected"
        raise Reject("empty" if value is None else "not_a_pair", f"{name} {what}.")
    if "\0" in value:
        raise Reject("bad_text", f"{name} holds a NUL character; remove it.")
    if not is_utf8(value):
        raise Reject("bad_text", f"{name} holds half of a surrogate pair; write it as UTF-8.")
    return value


def is_utf8(value: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no half of a surrogate pair."""
    if value.isascii():
        return True
    try:
        value.encode()  # a fifth of the time of a search for such a half
    except UnicodeEncodeError:
        return False
    return True


def json_type(value: Any) -> str:
    """The name of a value's type, for sentences."""
    names = {
        list: "an array",
        dict: "an object",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
        bytes: "binary data",
    }
    return names.get(type(value), "a number")


def exact(value: Any, name: str) -> Any:
    """The value as it is; raises `Reject` if reading or writing it would change it."""
    for one in _leaves(value, name, DEEPEST):
        if isinstance(one, str):
            text(one, name)
        elif isinstance(one, int | float) and not (math.isfinite(one) and abs(one) < LARGEST):
            raise Reject(
                "not_a_pair",
                f"{name} holds a number that can't be kept exactly; write it as a string.",
            )
    return value


def strings(value: Any) -> Iterator[str]:
    """All strings in a value: keys and texts."""
    return (one for one in _leaves(value, "", DEEPEST) if isinstance(one, str))


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The value with each of its strings changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [mapped(each, change) for each in value]
    if isinstance(value, dict):
        return {change(key): mapped(held, change) for key, held in value.items()}
    return value


def _leaves(value: Any, name: str, deepest: int) -> Iterator[Any]:
    if deepest < 0:
        raise Reject("too_deep", f"{name} nests too deeply.")
    if isinstance(value, dict):
        yield from value
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each, name, deepest - 1)
    else:
        yield value

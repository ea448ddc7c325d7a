"""Decodes JSON values that orjson refuses (NaN, long numbers), and finds keys that stand twice."""

import json
from typing import Any

import orjson

# The most digits that int() reads by default (sys.set_int_max_str_digits).
MAX_INT_DIGITS = 4300
KEY = 80  # characters of a key that are shown


def _integer(digits: str) -> int | float:
    """A number with too many digits for Python's int is read as a float."""
    return int(digits) if len(digits) <= MAX_INT_DIGITS else float(digits)


# Reads NaN and Infinity, which JSON lacks and many tools write into columns that hold numbers.
DECODER = json.JSONDecoder(parse_int=_integer)


def decode(raw: bytes) -> Any:
    """The value, also with NaN; raises ValueError or RecursionError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # a ValueError, too
        return DECODER.decode(raw.decode("utf-8"))


def count_keys(value: Any) -> int:
    """The keys of all objects in a value."""
    count, waiting = 0, [value]
    while waiting:
        held = waiting.pop()
        if held.__class__ is dict:
            count += len(held)
            held = held.values()
        elif held.__class__ is not list:
            continue
        waiting += [each for each in held if each.__class__ in NESTING]
    return count


NESTING = (dict, list)


def repeated_key(text: str) -> str | None:
    """A key that stands twice in one object with two values, of which decoders keep the last.

    Decodes the text again, slowly. Call it if the text holds another number of `":` than its value
    holds keys: each key ends so, unless white space is before the colon. Text with `":` in it only
    costs time. A row that writes some keys with white space and others without may be missed.
    """
    found: list[str] = []

    def hold(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, held in pairs:
            if key in value and value[key] != held:
                found.append(key)
            value[key] = held
        return value

    try:
        json.JSONDecoder(parse_int=_integer, object_pairs_hook=hold).decode(text)
    except (ValueError, RecursionError):
        return None
    return f"{found[0]:.{KEY}}" if found else None

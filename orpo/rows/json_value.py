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


def in_words(error: json.JSONDecodeError) -> str:
    """Why a text is not JSON: the library's message, without the word before its place ("at")."""
    return error.msg.removesuffix(" at").removesuffix(" starting")


def decode(raw: bytes) -> Any:
    """The value, also with NaN; raises ValueError or RecursionError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # a ValueError, too
        return DECODER.decode(raw.decode("utf-8"))


def may_repeat(value: Any, colons: int) -> bool:
    """Whether an object of a value may hold a key twice; its text has so many colons.

    Each key has a colon, and decoders keep the last of two equal keys, so a text with a key twice
    has more colons than the value written again. True also for text with an escaped colon.
    """
    if value.__class__ is dict and colons == len(value):
        return False  # without objects inside, nor colons in texts
    try:
        return orjson.dumps(value).count(b":") != colons
    except orjson.JSONEncodeError:  # nested too deeply, or a number or text that orjson refuses
        return True


def repeated_key(text: str) -> str | None:
    """A key that stands twice in one object with two values, of which decoders keep the last.

    Decodes the text again, slowly: call it if `may_repeat`.
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

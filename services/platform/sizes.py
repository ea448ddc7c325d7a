"""How many bytes a JSON value takes, and the same value cut to fewer. Knows no noun and no HTTP."""

import json
from itertools import islice
from typing import Any

# The limit of an answer: the items of a page together, or one object.
ANSWER_BYTES = 2**20
# The limit of a text or an object that comes from a process or a file, such as an error or the
# prompt of a sample. Longer ones are cut when they are stored: lists show many of them at once.
STORED_BYTES = 2**17
# If a value is too large, its texts are cut first: to the first of these lengths, in characters,
# that makes it fit. If none does, its lists are cut to so many items.
TEXTS = [2**n for n in range(18, 5, -2)]
ITEMS = [2**n for n in range(10, -1, -2)]
# More fields, and longer names, than any object of a known shape has.
FIELDS, NAME = 256, 256


def size_bytes(value: Any) -> int:
    """Return the length of a value as compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode(errors="replace"))


def shortened(value: Any, max_bytes: int = STORED_BYTES) -> Any:
    """Return a JSON value with long texts cut, and then long lists, until it has `max_bytes`.

    A cut text ends with how many characters are missing. Objects keep their fields, and so their
    shape. Returns the value itself where it is small enough.
    """
    if size_bytes(value) <= max_bytes:
        return value
    cuts = [(text, ITEMS[0]) for text in TEXTS] + [(TEXTS[-1], items) for items in ITEMS]
    found = value
    for text, items in cuts:
        found = _cut(value, text, items)
        if size_bytes(found) <= max_bytes:
            break
    return found


def _cut(value: Any, text: int, items: int) -> Any:
    match value:
        case str():
            return short_text(value, text)
        case list():
            return [_cut(item, text, items) for item in value[:items]]
        case dict():
            kept = islice(value.items(), FIELDS)
            return {short_text(name, NAME): _cut(item, text, items) for name, item in kept}
    return value


def short_text(text: str, longest: int) -> str:
    """Return the first `longest` characters of a text and, where there are more, a mark."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… [{len(text) - longest:,} more characters]"


def size_text(size_bytes: float) -> str:
    """Write bytes as 12 B, 3.4 kB or 1.2 GB: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"

"""Keys of what is written once: the sha256 of all that decides on it."""

import hashlib
from typing import Any

import orjson


def sha256(**parts: Any) -> str:
    """Return the sha256 of JSON values by their names, whatever the order of their keys."""
    content = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(content).hexdigest()

"""The arguments of a tool's call, as an engine reads them."""

import json
from typing import Any

# Templates and checks recurse into a value.
MAX_DEPTH = 32


def is_deep(value: Any, left: int = MAX_DEPTH) -> bool:
    """Whether a JSON value is nested more deeply than `left`."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return left == 0 or any(is_deep(each, left - 1) for each in inner)


def parsed(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call; raises ValueError unless they are an object in JSON.

    An engine would replace all else by an empty object, without a word.
    """
    try:
        found = json.loads(arguments or "{}", parse_constant=_refuse)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict) or is_deep(found):
        raise ValueError("no object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)

"""Values that others wrote, as Postgres can hold them and lists can show them."""

import re
from typing import Any

from services.platform.sizes import shortened

# Files and models may contain these, but Postgres can't store them: NUL, half of a surrogate pair.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """Return a JSON value of STORED_BYTES at most, with U+FFFD in the place of each character that
    can't be stored.
    """
    return _replaced(shortened(value))


def _replaced(value: Any) -> Any:
    match value:
        case str():
            return UNSTORABLE.sub("\ufffd", value)
        case list():
            return [_replaced(item) for item in value]
        case dict():
            return {_replaced(name): _replaced(item) for name, item in value.items()}
    return value

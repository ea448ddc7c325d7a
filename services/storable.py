"""Text that others wrote, as Postgres can hold it."""

import re
from typing import Any

# Files and models may say these, but Postgres stores none: NUL, and half of a surrogate pair.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """Return a JSON value with U+FFFD in the place of each character that can't be stored."""
    match value:
        case str():
            return UNSTORABLE.sub("\ufffd", value)
        case list():
            return [storable(item) for item in value]
        case dict():
            return {storable(name): storable(item) for name, item in value.items()}
    return value

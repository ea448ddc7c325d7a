"""Masks personal data and secrets in rows that are shown, because others may see a screen as well.

`orpo.audit.personal` knows what they look like.
"""

from typing import Any

from orpo.audit.personal import masked
from services.platform.sizes import ANSWER_BYTES, short_text


def mask(value: Any) -> Any:
    """A JSON value with its texts masked, apart from roles and the names of keys.

    Texts that no answer could hold are cut first, so that the time is bounded.
    """
    match value:
        case str():
            return masked(short_text(value, ANSWER_BYTES))
        case list():
            return [mask(item) for item in value]
        case dict():
            return {key: item if key == "role" else mask(item) for key, item in value.items()}
    return value

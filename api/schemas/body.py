"""What requests have in common: a value must have exactly the declared type.

Pydantic's default would accept `true` and 3.0 as whole numbers, and "yes" as a flag.
"""

import re
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

DIGITS = re.compile(r"-?[0-9]{1,19}")


class Body(BaseModel):
    """A JSON body, or an object in one. Unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _digits_only(value: Any) -> Any:
    """Refuse what Python reads as a whole number and a query should not hold: 3.0, 1_000, +3."""
    if isinstance(value, str) and not DIGITS.fullmatch(value):
        raise PydanticCustomError("int_parsing", "send a whole number, in digits")
    return value


# For a whole number in a query or a header, where every value is text. It must stand after the
# bounds, which would otherwise be missing from the document.
DIGITS_ONLY = BeforeValidator(_digits_only)


def _true_or_false(value: Any) -> Any:
    """Refuse what Python reads as a boolean and a query should not hold: 1, yes, T."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise PydanticCustomError("bool_parsing", "send true or false")
    return value


# The same for a boolean.
TRUE_OR_FALSE = BeforeValidator(_true_or_false)

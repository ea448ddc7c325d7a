"""Which columns of a file have other names: a mapping, parsed once where a request is read.

The rules are the core's (`orpo.rows.column_names`). Knows no database.
"""

import json

from orpo.rows.column_names import Columns, parse_columns
from services.platform.errors import Invalid


def parsed(text: str) -> Columns | None:
    """The mapping that a form's field spells as JSON; None for an empty one. Raises Invalid."""
    try:
        return parse_columns(text)
    except ValueError as error:
        raise Invalid(str(error), param="columns") from None


def checked(columns: Columns) -> Columns:
    """The mapping as it is; raises Invalid unless the verb `validate` would accept it."""
    parsed(as_argument(columns))
    return columns


def as_argument(columns: Columns | None) -> str:
    """The mapping as an argument of the verb `validate`, which reads JSON, or nothing for None.

    Never longer than a form's text of the same mapping: the core limits the length of both.
    """
    if columns is None:
        return ""
    return json.dumps(columns, ensure_ascii=False, separators=(",", ":"))

"""Columns that have other names in a file: which column is read as which field of a row.

Knows names and rows as they are in the file, before their shape is detected.
"""

from typing import Any

import orjson

from orpo.rows.json_value import KEY
from orpo.rows.row import Finding

# The field of a row that a shape reads, and the name of the column that holds it.
Columns = dict[str, str]

FIELDS = (
    "prompt", "chosen", "rejected", "system", "messages", "conversations",
    "instruction", "input", "output", "history",
    "responses", "scores", "ranks", "completion", "response", "label", "rating",
    "rejected_response", "rejected_messages", "preferred_output", "non_preferred_output",
)  # fmt: skip
MAX_NAME = 200
MAX_TEXT = 10_000  # characters of a mapping as JSON
NOT_MAPPED = " (not mapped)"


def parse_columns(text: str) -> Columns | None:
    """The mapping that a JSON object spells; None for an empty text.

    Raises ValueError with a sentence that says what is wrong.
    """
    if not text.strip():
        return None
    if len(text) > MAX_TEXT:
        raise ValueError(f"`columns` has more than {MAX_TEXT} characters; name fewer columns.")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not found:
        raise ValueError(
            'Send `columns` as a JSON object of fields and names, such as {"prompt": "question"}.'
        )
    for field, name in found.items():
        if field not in FIELDS:
            raise ValueError(
                f"`columns` names the field `{field:.40}`, which no row has. Fields: "
                f"{', '.join(FIELDS)}."
            )
        if not isinstance(name, str) or not name or len(name) > MAX_NAME or "\0" in name:
            raise ValueError(
                f"`columns` needs the name of a column for `{field}`: text of 1 to {MAX_NAME} "
                "characters."
            )
    if repeated := _repeated(found):
        raise ValueError(f"`columns` names the column `{repeated}` twice. Name each once.")
    return found


def _repeated(columns: Columns) -> str | None:
    names = list(columns.values())
    return next((name for name in names if names.count(name) > 1), None)


class Renamer:
    """Renames the columns of rows, and knows which of them it has not met."""

    def __init__(self, columns: Columns | None):
        self.columns = columns or {}
        self.sources = {name: field for field, name in self.columns.items()}
        self.missing = set(self.sources)
        self.seen: list[str] = []

    def __call__(self, value: Any) -> Any:
        """The row with the mapped names; a row of none of these columns stays as it is."""
        if not self.columns or not isinstance(value, dict):
            return value
        self.missing.difference_update(value)
        self.seen = self.seen or list(value)
        renamed: dict[str, Any] = {}
        for key, held in value.items():
            if key in self.sources:
                renamed[self.sources[key]] = held
            elif key in self.columns and self.columns[key] in value:
                # Another column is read as this field; the report says that this one is not.
                renamed[key + NOT_MAPPED] = held
            else:
                renamed[key] = held
        return renamed

    def add(self, later: "Renamer") -> None:
        """Take over which columns later rows had."""
        self.missing &= later.missing
        self.seen = self.seen or later.seen

    def findings(self) -> list[Finding]:
        """One for each column of the mapping that no row had."""
        seen = ", ".join(f"{key:.40}" for key in self.seen[:12]) or "none"
        return [
            Finding(
                1,
                None,
                "columns",
                f"No row has the column {name:.{KEY}}, which `columns` reads as "
                f"{self.sources[name]}. Columns of the first row: {seen}.",
            )
            for name in sorted(self.missing)
        ]

"""A file whose rows a recipe takes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file whose rows are taken: its accepted rows, and the rows of its findings (None if they
    are not known).
    """

    file_id: str
    rows: Path
    found: Path | None = None

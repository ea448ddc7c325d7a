"""A file whose rows a recipe takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file whose rows are taken: its accepted rows, and the rows of its findings (None if they
    are not known). `audits` are the rows of the findings of its deep audits, by the audit's id.
    """

    file_id: str
    rows: Path
    found: Path | None = None
    audits: Mapping[str, Path] = field(default_factory=dict)

"""How far a verb that works on a file is, in a small file that others read while it runs."""

import json
import time
from pathlib import Path
from typing import Any

EVERY_S = 0.5


class Progress:
    """Writes `{stage, done, total, unit, ...}` to a file, at most twice a second; each version
    replaces the one before. Without a path, nothing is written.

    `stage` is what the verb does now; `done` of `total` rows or bytes (`unit`) are read; `about`
    holds what else is known.
    """

    def __init__(self, path: Path | None, stage: str, unit: str) -> None:
        self.path, self.stage, self.unit = path, stage, unit
        self.about: dict[str, Any] = {}
        self.told_at = time.monotonic()

    def tell(self, done: int, total: int | None) -> None:
        """Say how much is done, of a total that may not be known. Raises OSError."""
        if self.path is None or time.monotonic() - self.told_at < EVERY_S:
            return
        self.told_at = time.monotonic()
        counted = {"stage": self.stage, "done": done, "total": total, "unit": self.unit}
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**counted, **self.about}))
        temporary.replace(self.path)

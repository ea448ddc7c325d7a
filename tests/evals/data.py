"""The shared material for evaluation suites; tests that need it are skipped without it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("ODDSMITH_SHARED", "")) / "data" / "evaluations"
shared = pytest.mark.skipif(
    not os.environ.get("ODDSMITH_SHARED"), reason="ODDSMITH_SHARED names no folder with the data"
)


def rows(name: str) -> list[dict[str, Any]]:
    """Read a file of JSON lines, or of one JSON array."""
    text = (FOLDER / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else list(map(json.loads, text.splitlines()))

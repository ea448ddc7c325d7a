"""How far the making and the validation of a file are, while a worker is at it.

A verb writes it to a file, the worker to the record: as the part `progress` of its report, which
there is none of yet. The verb reads data of users, so nothing of its file is taken unchecked.
"""

import json
import os
from pathlib import Path
from typing import Any

from models import File

STAGES = ("make", "validate", "audit", "compare")
UNITS = ("rows", "bytes")
MOST = 2**63 - 1
MAX_BYTES = 1000
MAX_NAME = 20


def read(path: Path) -> dict[str, Any] | None:
    """What a verb has written: `{stage, done, total, unit}`, and of a recipe `{step, steps, name}`.
    None if there is nothing yet, or something else.
    """
    try:
        # A link or a pipe in its place could lead anywhere, or make this wait.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = json.loads(file.read(MAX_BYTES) or b"")
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("stage") not in STAGES:
        return None
    numbers = {key: found.get(key) for key in ("done", "total", "step", "steps")}
    if not all(_is_number(value) for value in numbers.values()) or numbers["done"] is None:
        return None
    unit, name = found.get("unit"), found.get("name")
    if unit not in UNITS or not (name is None or (isinstance(name, str) and name.isascii())):
        return None
    return {"stage": found["stage"], "unit": unit, "name": name and name[:MAX_NAME], **numbers}


def _is_number(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value <= MOST)


def note(record: File, found: dict[str, Any] | None) -> None:
    """Keep how far a file is that is not validated yet, if that is known and has changed."""
    if found is not None and of(record) != found:
        record.report = {**(record.report or {}), "progress": found}


def of(record: File) -> dict[str, Any] | None:
    """How far a file is; None before and after."""
    return (record.report or {}).get("progress")

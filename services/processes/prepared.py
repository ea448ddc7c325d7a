"""What the verb `prepare` found, in words for people."""

from typing import Any


def dropped(part: dict[str, Any]) -> str:
    """How many pairs of one side of the split were dropped, and why: the number of each reason, and
    the sentence of its first pair. Empty if none was dropped.
    """
    counts = part["dropped"]
    if not counts:
        return ""
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
    for first in part.get("reasons", {}).values():
        reasons += f"; line {first['line']}: {first['message'].removesuffix('.')}"
    return f"{sum(counts.values())} dropped ({reasons})"

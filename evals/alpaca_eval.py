"""AlpacaEval 1 and 2 (Dubois et al. 2024, arXiv 2404.04475): one answer against a reference.

The judge sees two answers, the first called `m` or `model_1`. Version 1 asks for a ranking as text,
version 2 for one token with its logprobs. Instructions, reference outputs and judge prompts are
data of the user's installation.
"""

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.prompts import BadPrompt

FIRST, SECOND = "m", "M"
TOP_LOGPROBS = 5


@dataclass(frozen=True)
class Joined:
    """Two models' outputs by instruction, with what could not be joined."""

    pairs: dict[str, tuple[str, str]]
    missing: list[str]
    doubled: list[str]


@dataclass(frozen=True)
class Reference:
    """A row of a file of reference outputs."""

    instruction: str
    output: str


def read(row: Mapping[str, Any]) -> Reference:
    """Read a row of reference outputs: `instruction` and `output`. Raises BadPrompt."""
    instruction, output = row.get("instruction"), row.get("output")
    if not isinstance(instruction, str) or not isinstance(output, str) or not output.strip():
        raise BadPrompt("A row needs `instruction` and `output`, the reference answer, as texts.")
    return Reference(instruction, output)


def ranking(reply: str) -> float | None:
    """Read version 1's list of `{"model", "rank"}`: 1 if the first answer ranks first, 0 if second.

    None for anything else. It is a Python literal, which is parsed, never run.
    """
    try:
        rows = ast.literal_eval(reply.strip())
        ranks = {row["model"]: row["rank"] for row in rows}
        return {1: 1.0, 2: 0.0}.get(ranks["model_1"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return None


def preference(logprobs: Mapping[str, float]) -> float | None:
    """Return version 2's probability that the first answer is better, from the top logprobs.

    A token that is not among them counts as probability 0; None if both are missing.
    """
    first, second = (math.exp(logprobs.get(name, -math.inf)) for name in (FIRST, SECOND))
    return first / (first + second) if first + second > 0 else None


def join(ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> Joined:
    """Join (instruction, output) rows by their instruction, never by their place.

    An instruction with two different outputs on one side is `doubled` and left out; one that the
    reference lacks is `missing`.
    """
    left, doubled_left = _by_instruction(ours)
    right, doubled_right = _by_instruction(theirs)
    doubled = doubled_left | (doubled_right & (left.keys() | doubled_left))
    pairs = {
        name: (output, right[name])
        for name, output in left.items()
        if name in right and name not in doubled
    }
    missing = [name for name in left if name not in pairs and name not in doubled]
    return Joined(pairs, missing, sorted(doubled))


def _by_instruction(rows: Sequence[tuple[str, str]]) -> tuple[dict[str, str], set[str]]:
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for instruction, output in rows:
        if found.setdefault(instruction, output) != output:
            doubled.add(instruction)
    return found, doubled

"""Conditions on the texts of rows, for the filter of a recipe. Knows rows in their normal form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orpo.audit.recipe import Filter

Flags = NDArray[np.bool_]
FIELDS = ("prompt", "chosen", "rejected")


def text_of(messages: Sequence[Mapping[str, Any]] | None) -> str:
    """The contents of messages, one per line; "" if there is no such part."""
    return "\n".join(message.get("content") or "" for message in messages or ())


def bad_pattern(pattern: str, replacement: str | None = None) -> str | None:
    """Why RE2 can't use a regular expression, or a replacement of its matches; None if it can, or
    if RE2 is not installed here.
    """
    try:
        if replacement is None:
            _search(pattern, [""], ignore_case=False)
        else:
            replaced(pattern, replacement, [""], ignore_case=False)
    except ImportError:
        return None
    except ValueError as error:
        return str(error).partition("\n")[0]
    return None


def _search(pattern: str, texts: list[str], *, ignore_case: bool) -> Flags:
    """Whether the pattern is found in each text [n].

    RE2 needs time that is linear in the text, and a bounded amount of memory.
    """
    # Takes 0.2 s to import, and the API may not have it.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    values = pa.array(texts, pa.large_string())
    options = pc.MatchSubstringOptions(pattern, ignore_case=ignore_case)
    found = pc.call_function("match_substring_regex", [values], options)
    return found.to_numpy(zero_copy_only=False)


def replaced(
    pattern: str, replacement: str, texts: Sequence[str], *, ignore_case: bool
) -> list[str]:
    """The texts with each match of the pattern replaced; \\1 in `replacement` is the first group.

    Raises ValueError for a pattern or a replacement that RE2 can't use.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    values = pa.array(texts, pa.large_string())
    flagged = f"(?i){pattern}" if ignore_case else pattern
    options = pc.ReplaceSubstringOptions(flagged, replacement)
    return pc.call_function("replace_substring_regex", [values], options).to_pylist()


def judge(step: Filter) -> Callable[[Sequence[Mapping[str, Any]]], Flags]:
    """Return a call that says for each of some rows whether the filter's conditions hold."""
    fields = FIELDS if step.field == "any" else (step.field,)

    def hold(rows: Sequence[Mapping[str, Any]]) -> Flags:
        found = np.zeros(len(rows), np.bool_)
        for field in fields:
            found |= _hold(step, [text_of(row[field]) for row in rows])
        return found

    return hold


def _hold(step: Filter, texts: list[str]) -> Flags:
    found = np.ones(len(texts), np.bool_)
    if step.min_chars is not None or step.max_chars is not None:
        n_chars = np.fromiter(map(len, texts), np.int64, len(texts))
        found &= n_chars >= (step.min_chars or 0)
        if step.max_chars is not None:
            found &= n_chars <= step.max_chars
    if step.contains is not None:
        found &= np.fromiter(map(_contains(step), texts), np.bool_, len(texts))
    if step.matches is not None:
        found &= _search(step.matches, texts, ignore_case=step.ignore_case)
    return found


def _contains(step: Filter) -> Callable[[str], bool]:
    sought = step.contains or ""
    if not step.ignore_case:
        return lambda text: sought in text
    folded = sought.casefold()
    return lambda text: folded in text.casefold()

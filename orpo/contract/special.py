"""Special strings inside a message, such as `<|im_end|>`: one rule for trainer and engine.

A tokenizer turns such a string into a special token wherever it occurs, so a message that holds one
could end its own turn and begin another. Knows strings only; `orpo.special_strings` finds those of
a base model, and they are kept with the model. Imports no torch and no transformers.
"""

import re
from functools import lru_cache

from orpo.contract.hyperparameters import SpecialTokens

__all__ = ["SpecialTextError", "SpecialTokens", "admit", "find"]

# Inserted after the first character of a special string: invisible, and the result is plain text.
ZERO_WIDTH_SPACE = "\u200b"
# A special string that the inserted mark itself would create; no known base has one.
MAX_ROUNDS = 4


class SpecialTextError(ValueError):
    """A text holds a special string, and the rule refuses it."""

    def __init__(self, string: str) -> None:
        super().__init__(f"The text holds `{string}`, which the model reads as a special token.")
        self.string = string


def find(text: str, strings: tuple[str, ...]) -> str | None:
    """The first special string in `text` (the longest of those that begin there), or None."""
    match = _pattern(strings).search(text) if strings else None
    return match[0] if match else None


def admit(text: str, strings: tuple[str, ...], rule: SpecialTokens) -> str:
    """The `text` to render; raises SpecialTextError if the rule refuses it."""
    found = find(text, strings)
    for _ in range(MAX_ROUNDS if rule is SpecialTokens.ESCAPE else 0):
        if found is None:
            break
        text = _pattern(strings).sub(_broken_up, text)
        found = find(text, strings)
    if found is not None:
        raise SpecialTextError(found)
    return text


def _broken_up(match: re.Match[str]) -> str:
    return match[0][0] + ZERO_WIDTH_SPACE + match[0][1:]


@lru_cache(maxsize=64)
def _pattern(strings: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(strings, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))

"""The language of prompts and answers, by py3langid, on a sample of the rows.

A short text, or one that is mostly code, has no certain language: it counts as unknown.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from orpo.audit.found import Named
from orpo.audit.texts import Row, text_of

SAMPLE = 2000  # rows; a text takes a tenth of a millisecond
LOOKED_AT = 600  # characters of a text
LETTERS = 40  # a shorter text is not judged
SURE = 0.99
UNKNOWN = "unknown"
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>\n]{1,80}>", re.DOTALL)


class Languages(NamedTuple):
    """Sampled rows by the language of their chosen answer, the most common first, and the rows
    whose prompt is certainly in another one.
    """

    rows: list[tuple[str, int]]
    mixed: Named
    sampled: int


def found(sample: Iterable[tuple[int, Row]]) -> Languages:
    """The languages of some rows, each with its place; ascending."""
    counts: Counter[str] = Counter()
    mixed: list[int] = []
    for place, row in sample:
        answer, prompt = language(text_of(row["chosen"])), language(text_of(row["prompt"][-1:]))
        counts[answer] += 1
        if UNKNOWN not in (answer, prompt) and answer != prompt:
            mixed.append(place)
    return Languages(counts.most_common(), Named(np.array(mixed, np.uint32)), counts.total())


def language(text: str, letters: int = LETTERS) -> str:
    """The code of a text's language (ISO 639-1), or `unknown` where it is not certain or the text
    has fewer `letters`.
    """
    words = CODE.sub(" ", text[: 4 * LOOKED_AT])[:LOOKED_AT]
    if sum(map(str.isalpha, words)) < letters:
        return UNKNOWN
    name, probability = _identifier().classify(words)
    return str(name) if probability >= SURE else UNKNOWN


@lru_cache(1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

"""`python -m orpo.special_strings DIR`: the strings that a base model reads as special tokens.

Needed for base models that were registered before these strings were recorded. Loads the tokenizer,
no weights.
"""

from pathlib import Path

from orpo.process.verbs import answer
from orpo.tokens.special_text import special_strings
from orpo.tokens.templates import load_tokenizer


def main(folder: Path) -> int:
    """Print `{"special_tokens": [...]}`."""
    return answer(lambda: {"special_tokens": special_strings(load_tokenizer(folder))})

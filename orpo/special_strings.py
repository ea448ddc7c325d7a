"""`python -m orpo.special_strings DIR`: the strings that a base model takes for special tokens.

For base models that were registered before these were noted. Loads the tokenizer, no weights.
"""

import sys
from pathlib import Path

from orpo.special_text import special_strings
from orpo.tokenize import load_tokenizer
from orpo.verbs import answer


def main(folder: Path) -> int:
    """Print `{"special_tokens": [...]}`."""
    return answer(lambda: {"special_tokens": special_strings(load_tokenizer(folder))})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

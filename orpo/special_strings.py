"""`python -m orpo.special_strings DIR`: the strings that a base model reads as special tokens.

The work is done by `orpo.tokens.special_strings`.
"""

import sys
from pathlib import Path

import orpo.process.without_torch  # noqa: F401  before transformers
from orpo.tokens.special_strings import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

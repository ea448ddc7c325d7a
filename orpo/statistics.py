"""`python -m orpo.statistics DIR REQUEST SAMPLE`: sizes of a file's pairs for a base model.

The work is done by `orpo.tokens.statistics`.
"""

import sys
from pathlib import Path

import orpo.process.without_torch  # noqa: F401  before transformers
from orpo.tokens.statistics import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))

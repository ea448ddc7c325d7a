"""`python -m orpo.show DIR REQUEST`: the exact tokens of a pair for a base model.

The work is done by `orpo.tokens.show`.
"""

import sys
from pathlib import Path

import orpo.process.without_torch  # noqa: F401  before transformers
from orpo.tokens.show import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

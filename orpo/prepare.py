"""`python -m orpo.prepare RUN_DIR`: tokenise a run's rows and say what it would train on.

The work is done by `orpo.tokens.prepare`.
"""

import sys
from pathlib import Path

import orpo.process.without_torch  # noqa: F401  before transformers
from orpo.tokens.prepare import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""`python -m orpo.rendered MODEL_DIR PROBE_FILE TIME...`: print how the trainer renders a probe.

The work is done by `orpo.tokens.rendered`.
"""

import sys
from pathlib import Path

import orpo.process.without_torch  # noqa: F401  before transformers
from orpo.tokens.rendered import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))

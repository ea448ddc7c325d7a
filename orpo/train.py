"""`python -m orpo.train RUN_DIR`: train.

The work is done by `orpo.run.train`.
"""

import sys
from pathlib import Path

from orpo.run.train import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

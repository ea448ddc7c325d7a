"""`python -m orpo.estimate RUN_DIR`: measure what a run would take.

The work is done by `orpo.run.estimate`.
"""

import sys
from pathlib import Path

from orpo.run.estimate import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""`python -m orpo.deep_audit RUN_DIR`: find pairs whose choice is probably the wrong way round.

The work is done by `orpo.run.deep_audit`.
"""

import os
import sys
from pathlib import Path

# Before numpy is loaded. The threads of its BLAS wait for each other in busy loops, and the
# regressions multiply small matrices: of 400 pairs on two cores that others use as well, they take
# 15 s with one thread and more than 90 s with two.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from orpo.run.deep_audit import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

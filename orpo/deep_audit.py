"""`python -m orpo.deep_audit RUN_DIR`: find pairs whose choice is probably the wrong way round.

The work is done by `orpo.run.deep_audit`.
"""

import sys
from pathlib import Path

from orpo.run.deep_audit import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

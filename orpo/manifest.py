"""`python -m orpo.manifest CHECKPOINT_DIR`: is the folder intact?

The work is done by `orpo.contract.manifest`.
"""

import sys
from pathlib import Path

from orpo.contract.manifest import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

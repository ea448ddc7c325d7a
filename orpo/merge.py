"""`python -m orpo.merge CHECKPOINT_DIR OUT_DIR`: fold an adapter into its base.

The work is done by `orpo.model.merge`.
"""

import sys
from pathlib import Path

from orpo.model.merge import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

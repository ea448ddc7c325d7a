"""`python -m orpo.probe DIR`: print a checkpoint's or a base model's probe.

The work is done by `orpo.run.probe`.
"""

import sys
from pathlib import Path

from orpo.run.probe import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

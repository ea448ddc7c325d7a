"""`python -m orpo.check_model DIR`: can this folder be a base model?

The work is done by `orpo.model.check_model`.
"""

import sys
from pathlib import Path

from orpo.model.check_model import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""`python -m orpo.ranks N VERB RUN_DIR`: start the ranks of a run.

The work is done by `orpo.process.ranks`.
"""

import sys

from orpo.process.ranks import main

if __name__ == "__main__":
    sys.exit(main())
